"""Steering and reading the residual stream of every supported architecture."""

from __future__ import annotations

import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

SHORT = GenerationConfig(new_tokens=8, top_k=20)


def some_vector(*layers: int) -> SteeringVector:
    generator = torch.Generator().manual_seed(3)
    return SteeringVector({layer: torch.randn(16, generator=generator) for layer in layers})


def hooks_on(language_model: LanguageModel) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in language_model.model.modules()
    )


def test_strength_zero_is_the_base_model_to_the_bit(architecture, texts):
    language_model, vector = make_language_model(architecture, depth=4), some_vector(1, 2)
    batch = next(language_model.batches(texts))
    with torch.no_grad():
        base = language_model.states(batch)
        with language_model.steer(vector, 0.0):
            assert torch.equal(language_model.states(batch), base)
        with language_model.steer(vector):
            assert not torch.allclose(language_model.states(batch), base, atol=1e-2)
    assert hooks_on(language_model) == 0
    base, still, steered = (
        language_model.generate([sentence(1, 2, 3), sentence(4, 5)], [10, 11], SHORT, *steering)
        for steering in ((None,), (vector, 0.0), (vector, 1.0))
    )
    assert still == base != steered


def test_the_scaled_vector_is_added(architecture, texts):
    language_model, vector = make_language_model(architecture, depth=4), some_vector(1)
    batch, seen = next(language_model.batches(texts)), []

    def keep(stream: torch.Tensor) -> torch.Tensor:
        seen.append(stream)
        return stream

    language_model.read_layers(batch, (1,), keep)
    with language_model.steer(vector, 1.5):
        language_model.read_layers(batch, (1,), keep)
    torch.testing.assert_close(seen[1], seen[0] + 1.5 * vector.directions[1])


def test_no_hook_survives_an_exception():
    language_model = make_language_model(depth=4)
    with pytest.raises(RuntimeError, match="on purpose"), language_model.steer(some_vector(1, 2)):
        assert hooks_on(language_model) > 0
        raise RuntimeError("on purpose")
    assert hooks_on(language_model) == 0


def test_left_padding_equals_right_padding(architecture, texts):
    language_model = make_language_model(architecture, depth=4)
    rights, lefts = (next(language_model.batches(texts, side=side)) for side in ("right", "left"))
    with torch.no_grad(), language_model.steer(some_vector(1, 2)):
        right, left = language_model.states(rights), language_model.states(lefts)
    torch.testing.assert_close(right[rights.real], left[lefts.real], rtol=1e-4, atol=1e-4)


def test_a_cached_generation_equals_a_full_pass(architecture):
    language_model, vector = make_language_model(architecture, depth=4), some_vector(1, 2)
    config, prompts = GenerationConfig(new_tokens=10, top_k=1), [sentence(1, 2, 3, 4, 5), sentence(6, 7)]
    written = language_model.generate(prompts, [1, 2], config, vector)
    # top_k of 1 writes the likeliest token: one pass over the whole text must find each of them likeliest.
    for prompt, text in zip(prompts, written, strict=True):
        ids = language_model.tokenizer(prompt + text, return_tensors="pt")["input_ids"]
        mask = torch.ones_like(ids)
        with torch.no_grad(), language_model.steer(vector):
            scores = language_model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
        scores[:, [0, 1, 2, 3, 94, 95]] = -torch.inf
        count = len(text.split())
        assert count == 10
        assert scores[-count - 1 : -1].argmax(-1).tolist() == ids[0, -count:].tolist()
    assert language_model.generate(prompts, [1, 2], config, vector) == written
    assert language_model.generate(prompts[:1], [1], config, vector) == written[:1]


def test_a_resumed_pass_equals_a_whole_one(architecture, texts):
    language_model = make_language_model(architecture, depth=4)
    batch = next(language_model.batches(texts))
    prefix = language_model.prefix(batch, 2)
    with torch.no_grad(), language_model.steer(some_vector(2, 3)):
        assert torch.equal(language_model.states(batch), language_model.states(batch, prefix))


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
