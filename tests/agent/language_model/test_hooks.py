"""Steering and reading the residual stream of every supported architecture."""

from __future__ import annotations

import pytest
import torch
from conftest import make_language_model

from agent.errors import BasinError
from agent.language_model.decoding.config import GenerationConfig
from agent.steering.vector import SteeringVector

SHORT = GenerationConfig(new_tokens=8, top_k=20)


def test_nothing_is_computed_above_the_last_recorded_layer(texts):
    language_model = make_language_model(depth=4, layers=(1, 2))
    ran = []
    for blocks in (language_model.blocks, language_model.fused.blocks):
        for index, block in enumerate(blocks):
            block.register_forward_hook(lambda *_, index=index: ran.append(index))
    language_model.record(texts[:1])
    assert ran == [0, 1]


def test_a_vector_of_another_model_is_refused():
    language_model = make_language_model()
    for vector in (SteeringVector({1: torch.ones(7)}), SteeringVector({2: torch.ones(16)})):
        with pytest.raises(BasinError, match="does not fit"), language_model.steer(vector):
            pass


def test_gradients_reach_the_vector_and_not_the_model(texts):
    language_model = make_language_model(depth=3, layers=(1, 2))
    leaf = torch.zeros(16, requires_grad=True)
    batch = next(language_model.batches(texts))
    with language_model.steer(SteeringVector({2: leaf})):
        states = language_model.states(batch)
    language_model.output.losses(
        states[:, :-1][batch.scored[:, 1:]], batch.ids[:, 1:][batch.scored[:, 1:]]
    ).mean().backward()
    assert leaf.grad.norm() > 0
    assert all(weight.grad is None for weight in language_model.model.parameters())
