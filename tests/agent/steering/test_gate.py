"""Modes of steering: lengths are kept, the gate closes inside, and a cached generation equals one full pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.model import LanguageModel
from agent.steering.gate import PLAIN, PRIOR_TOKENS, Gate, SteeringMode, find_gate, shifted
from agent.steering.vector import SteeringVector


def some_gate(outside: float = -1.0, centre: float = 0.0, width: float = 0.5, layer: int = 1) -> Gate:
    direction = torch.randn(16, generator=torch.Generator().manual_seed(5))
    return Gate(layer, direction / direction.norm(), outside, centre, width)


def some_vector(layers: tuple[int, ...] = (1, 2)) -> SteeringVector:
    generator = torch.Generator().manual_seed(3)
    return SteeringVector({layer: torch.randn(16, generator=generator) for layer in layers})


MODES = {
    "plain": PLAIN,
    "norm": SteeringMode(norm_preserving=True),
    "gate": SteeringMode(gate=some_gate()),
    "both": SteeringMode(True, some_gate()),
}


def hooks_on(language_model: LanguageModel) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in language_model.model.modules()
    )


def streams(language_model, batch, layers, vector=None, strength=1.0, mode=PLAIN):
    """The residual stream at `layers`, after steering."""
    seen = {}
    with torch.no_grad(), language_model.steer(vector, strength, mode):
        hooks = [
            language_model.blocks[layer - 1].register_forward_hook(
                lambda _m, _i, output, layer=layer: seen.update(
                    {layer: output[0] if isinstance(output, tuple) else output}
                )
            )
            for layer in layers
        ]
        language_model.states(batch)
    for hook in hooks:
        hook.remove()
    return [seen[layer] for layer in layers]


@pytest.mark.parametrize("name", MODES)
def test_strength_zero_is_the_base_model_to_the_bit(architecture, texts, name):
    language_model, mode = make_language_model(architecture, depth=4), MODES[name]
    batch = next(language_model.batches(texts))
    with torch.no_grad():
        base = language_model.states(batch)
        with language_model.steer(some_vector(), 0.0, mode):
            assert torch.equal(language_model.states(batch), base)
        with language_model.steer(some_vector(), 1.0, mode):
            assert not torch.allclose(language_model.states(batch), base, atol=1e-2)
    assert hooks_on(language_model) == 0
    config = GenerationConfig(new_tokens=8, top_k=20)
    base, still, steered = (
        language_model.generate([sentence(1, 2, 3), sentence(4, 5)], [10, 11], config, *steering, mode=mode)
        for steering in ((None,), (some_vector(), 0.0), (some_vector(), 1.0))
    )
    assert still == base != steered


@pytest.mark.parametrize("name", MODES)
def test_no_hook_survives_an_exception(name):
    language_model = make_language_model(depth=4)
    steered = language_model.steer(some_vector(), 1.0, MODES[name])
    with pytest.raises(RuntimeError, match="on purpose"), steered:
        assert hooks_on(language_model) > 0
        raise RuntimeError("on purpose")
    assert hooks_on(language_model) == 0


def test_lengths_are_kept_and_directions_turn(architecture, texts):
    language_model = make_language_model(architecture, depth=4)
    batch = next(language_model.batches(texts))
    vector = some_vector((1,))
    (before,) = streams(language_model, batch, (1,))
    (after,) = streams(language_model, batch, (1,), vector, 1.5, MODES["norm"])
    real = batch.real
    torch.testing.assert_close(after.norm(dim=-1)[real], before.norm(dim=-1)[real], rtol=1e-5, atol=1e-5)
    turned = torch.nn.functional.cosine_similarity(after, before + 1.5 * vector.directions[1], dim=-1)
    torch.testing.assert_close(turned[real], torch.ones_like(turned[real]))


def test_a_stream_without_length_stays_finite():
    still = torch.zeros(1, 2, 4)
    assert torch.equal(shifted(still, torch.zeros(4), None, True), still)


def test_the_gate_is_open_far_outside_and_closed_far_inside(texts):
    language_model = make_language_model(depth=4)
    batch = next(language_model.batches(texts))
    vector = some_vector((1,))
    base, plain, opened, closed = (
        streams(language_model, batch, (1,), vector, strength, mode)[0]
        for strength, mode in (
            (0.0, PLAIN),
            (1.0, PLAIN),
            (1.0, SteeringMode(gate=some_gate(centre=1e4))),
            (1.0, SteeringMode(gate=some_gate(centre=-1e4))),
        )
    )
    assert torch.equal(opened, plain) and torch.equal(closed, base)


def test_the_gate_reads_the_running_mean_of_the_unsteered_text(texts):
    language_model = make_language_model(depth=4)
    gate = some_gate(width=3.0)
    vector = some_vector((1, 2))
    batch = next(language_model.batches(texts))
    (base,) = streams(language_model, batch, (1,))
    (steered,) = streams(language_model, batch, (1,), vector, 1.0, SteeringMode(gate=gate))
    share = ((steered - base) @ vector.directions[1]) / vector.directions[1].square().sum()
    for row in range(len(batch.rows)):
        for place in range(int(batch.real[row].sum())):
            read = base[row, 1 : place + 1] @ gate.direction
            mean = (read.sum() + PRIOR_TOKENS * gate.outside) / (len(read) + PRIOR_TOKENS)
            assert float(share[row, place]) == pytest.approx(float(gate.gate_value(mean)), abs=1e-4)


@pytest.mark.parametrize("name", MODES)
def test_left_padding_equals_right_padding(architecture, texts, name):
    language_model, mode = make_language_model(architecture, depth=4), MODES[name]
    vector = some_vector()
    rights, lefts = (next(language_model.batches(texts, side=side)) for side in ("right", "left"))
    with torch.no_grad(), language_model.steer(vector, 1.0, mode):
        right, left = language_model.states(rights), language_model.states(lefts)
    torch.testing.assert_close(right[rights.real], left[lefts.real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODES)
def test_a_cached_generation_equals_a_full_pass(architecture, name):
    language_model, mode = make_language_model(architecture, depth=4), MODES[name]
    vector, config = some_vector(), GenerationConfig(new_tokens=10, top_k=1)
    prompts = [sentence(1, 2, 3, 4, 5), sentence(6, 7)]
    written = language_model.generate(prompts, [1, 2], config, vector, 1.0, mode=mode)
    # top_k of 1 writes the likeliest token: one pass over the whole text must find each of them likeliest.
    for prompt, text in zip(prompts, written, strict=True):
        ids = language_model.tokenizer(prompt + text, return_tensors="pt")["input_ids"]
        mask = torch.ones_like(ids)
        with torch.no_grad(), language_model.steer(vector, 1.0, mode):
            scores = language_model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
        scores[:, [0, 1, 2, 3, 94, 95]] = -torch.inf
        count = len(text.split())
        assert count == 10
        assert scores[-count - 1 : -1].argmax(-1).tolist() == ids[0, -count:].tolist()
    both = language_model.generate(prompts, [1, 2], config, vector, 1.0, mode=mode)
    alone = language_model.generate(prompts[:1], [1], config, vector, 1.0, mode=mode)
    assert both == written and alone == written[:1]


@pytest.mark.parametrize("mode", [PLAIN, SteeringMode(True, some_gate(layer=2))])
def test_a_resumed_pass_equals_a_whole_one(architecture, texts, mode):
    language_model = make_language_model(architecture, depth=4)
    batch = next(language_model.batches(texts))
    prefix = language_model.prefix(batch, 2)
    with torch.no_grad(), language_model.steer(some_vector((2, 3)), 1.0, mode):
        assert torch.equal(language_model.states(batch), language_model.states(batch, prefix))


def test_a_gate_of_another_layer_or_width_is_refused():
    language_model = make_language_model(depth=4)
    narrow = Gate(1, torch.ones(7), 0.0, 0.0, 1.0)
    for vector, gate in ((some_vector((2, 3)), some_gate()), (some_vector(), narrow)):
        with (
            pytest.raises(BasinError, match="at the lowest of them"),
            language_model.steer(vector, 1.0, SteeringMode(gate=gate)),
        ):
            pass


def test_planted_groups_give_the_discriminant():
    generator = np.random.default_rng(0)
    direction = generator.normal(size=24)
    direction /= np.linalg.norm(direction)
    noise = generator.normal(size=(8000, 2, 24))
    noise[:4000, 1] += 3 * direction
    gate = find_gate(noise[:4000], noise[4000:], recorded=(4, 9), layer=9)
    assert gate.layer == 9 and gate.outside == pytest.approx(0.0, abs=0.1)
    assert float(gate.direction @ torch.from_numpy(direction).float()) > 0.99
    assert gate.centre == pytest.approx(1.5, abs=0.1) and gate.width == pytest.approx(1 / 3, rel=0.1)
    gate_value = gate.gate_value(torch.tensor([-2.0, gate.centre, 5.0]))
    assert gate_value[0] > 0.99 and float(gate_value[1]) == pytest.approx(0.5) and gate_value[2] < 0.01


def test_groups_that_give_no_gate_are_named():
    members = np.random.default_rng(0).normal(size=(5, 1, 4))
    with pytest.raises(BasinError, match="equal activations"):
        find_gate(members, members, recorded=(3,), layer=3)
    assert np.isfinite(find_gate(members[:1], members[1:2], recorded=(3,), layer=3).width)
