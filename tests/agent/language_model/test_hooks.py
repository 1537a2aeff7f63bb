"""Steering and reading the residual stream of every supported architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

SHORT = GenerationConfig(new_tokens=8, top_k=20)


def hooks_on(language_model: LanguageModel) -> int:
    return sum(len(module._forward_hooks) for module in language_model.model.modules())


def some_vector(language_model: LanguageModel, size: float = 2.0, seed: int = 3) -> SteeringVector:
    generator = torch.Generator().manual_seed(seed)
    return size * SteeringVector({1: torch.randn(language_model.width, generator=generator)})


def test_nothing_is_computed_above_the_last_recorded_layer(texts):
    language_model = make_language_model(depth=4, layers=(1, 2))
    ran = []
    for blocks in (language_model.blocks, language_model.fused.blocks):
        for index, block in enumerate(blocks):
            block.register_forward_hook(lambda *_, index=index: ran.append(index))
    language_model.record(texts[:1])
    assert ran == [0, 1]


def test_steering_adds_to_the_stream_and_leaves_nothing_behind(architecture, texts):
    language_model = make_language_model(architecture, layers=(1,))
    vector = some_vector(language_model)
    before = language_model.record(texts)
    with language_model.steer(vector, 0.5):
        steered = language_model.record(texts)
    np.testing.assert_allclose(
        steered - before, np.broadcast_to(0.5 * vector.directions[1], (7, 1, 16)), atol=2e-5
    )
    with pytest.raises(RuntimeError, match="on purpose"), language_model.steer(vector):
        raise RuntimeError("on purpose")
    assert hooks_on(language_model) == 0
    np.testing.assert_array_equal(language_model.record(texts), before)


def test_strength_zero_is_the_base_model_to_the_bit(architecture, texts):
    language_model = make_language_model(architecture)
    vector = some_vector(language_model)
    batch = next(language_model.batches(texts))
    with torch.no_grad():
        base = language_model.states(batch)
        with language_model.steer(vector, 0.0):
            assert torch.equal(language_model.states(batch), base)
        with language_model.steer(vector, 1.0):
            assert not torch.allclose(language_model.states(batch), base, atol=1e-2)
    prompts, seeds = [sentence(1, 2, 3), sentence(4, 5)], [10, 11]
    base_texts = language_model.generate(prompts, seeds, SHORT)
    assert language_model.generate(prompts, seeds, SHORT, vector, 0.0) == base_texts
    assert language_model.generate(prompts, seeds, SHORT, vector, 1.0) != base_texts


def test_a_vector_of_another_model_is_refused():
    language_model = make_language_model()
    for vector in (SteeringVector({1: torch.ones(7)}), SteeringVector({2: torch.ones(16)})):
        with pytest.raises(BasinError, match="does not fit"), language_model.steer(vector):
            pass


def test_a_resumed_pass_equals_a_whole_one(architecture, texts):
    language_model = make_language_model(architecture, depth=4)
    vector = SteeringVector({layer: torch.full((16,), 0.5) for layer in (2, 3)})
    batch = next(language_model.batches(texts))
    prefix = language_model.prefix(batch, 2)
    with torch.no_grad(), language_model.steer(vector):
        whole, resumed = language_model.states(batch), language_model.states(batch, prefix)
    assert torch.equal(whole, resumed)
    # Nothing stays behind: another text is read from its first block again.
    other = next(language_model.batches(texts[::-1][:2]))
    with torch.no_grad():
        fresh = make_language_model(architecture, depth=4).states(other)
        assert torch.equal(language_model.states(other), fresh)


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
