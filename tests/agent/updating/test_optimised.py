"""Planted texts: members use one half of the vocabulary, others the other half."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.language_model.decoding.config import GenerationConfig
from agent.steering.vector import SteeringVector
from agent.updating import UpdatingConfig, optimised, update
from agent.updating.optimised import OptimisedConfig, _likelihoods, above, optimise, preference_loss

FAST = OptimisedConfig(steps=30, passages=24, batch=8, tokens=24, learning_rate=0.2)


def planted_texts(count: int, seed: int) -> tuple[list[str], list[str]]:
    generator = np.random.default_rng(seed)
    return tuple([sentence(*generator.integers(low, low + 45, 14)) for _ in range(count)] for low in (0, 45))


def margin(language_model, vector, members, others) -> float:
    """Nats per token that members gain over others by steering."""
    gains = []
    for texts in (members, others):
        base = language_model.losses(texts)
        with language_model.steer(vector):
            gains.append((base - language_model.losses(texts)).mean())
    return gains[0] - gains[1]


def run(method: str, seed: int = 0):
    language_model = make_language_model(depth=5, layers=(2, 3))
    members, others = planted_texts(24, seed=1)
    return language_model, update(
        language_model,
        members,
        others,
        language_model.record(members),
        language_model.record(others),
        config=UpdatingConfig(method=method, optimised=FAST),
        nats=0.1,
        seed=seed,
    )


def test_the_preference_holds_on_unseen_texts_and_beats_the_baseline(texts):
    unseen = planted_texts(40, seed=2)
    language_model, baseline = run("mean_difference")
    _, ascended = run("optimised")
    assert baseline.nats_per_token == pytest.approx(0.1, rel=0.05)
    assert ascended.nats_per_token == pytest.approx(0.1, rel=0.05)
    gained = margin(language_model, ascended.vector, *unseen)
    assert gained > 0.05
    assert gained > 1.4 * margin(language_model, baseline.vector, *unseen)
    # The model is left as it was.
    fresh = make_language_model(depth=5, layers=(2, 3))
    np.testing.assert_array_equal(language_model.record(texts), fresh.record(texts))
    assert not any(weight.requires_grad for weight in language_model.model.parameters())


def test_the_penalty_holds_the_distance():
    language_model = make_language_model(depth=5, layers=(2, 3))
    members, others = planted_texts(24, seed=1)
    start = run("mean_difference")[1].vector
    for penalty, low, high in ((0.0, 0.2, 99.0), (100.0, 0.0, 0.15)):
        config = FAST.model_copy(update={"penalty": penalty, "learning_rate": 0.4, "decay": 0.0})
        found = optimise(language_model, members, others, start, config, nats=0.05, seed=0, prior=start)
        assert low < language_model.divergence([*members, *others], found) < high


def planted_by_steering(language_model, count: int) -> tuple[SteeringVector, list[str], list[str]]:
    """A vector, texts sampled under it, and texts sampled under its reverse."""
    planted = SteeringVector({4: 0.5 * torch.randn(16, generator=torch.Generator().manual_seed(4))})
    config = GenerationConfig(new_tokens=40, top_k=96, top_p=1.0, temperature=1.0, batch_size=256)
    prompts = [sentence(index % 90, (7 * index) % 90) for index in range(count)]
    members, others = (
        language_model.generate(prompts, range(begin, begin + count), config, vector)
        for begin, vector in ((0, planted), (10_000, -planted))
    )
    return planted, members, others


@torch.no_grad()
def effect(language_model, vector, texts):
    """What a vector does to the log-probabilities of the next token, in the metric of the Fisher information.

    Directions that the last norm or the softmax cancels are in a vector but not in what it does.
    """
    batches = list(language_model.batches(texts))

    def predictions():
        found = [language_model.output.logits(language_model.states(each)[each.pooled]) for each in batches]
        return torch.cat(found).log_softmax(-1)

    before = predictions()
    with language_model.steer(vector):
        change, weight = predictions() - before, before.exp()
    return ((change - (change * weight).sum(-1, keepdim=True)) * weight.sqrt()).flatten()


def test_a_planted_direction_is_found_from_a_poor_start():
    language_model = make_language_model(depth=5, layers=(4,))
    planted, members, others = planted_by_steering(language_model, 240)
    start = SteeringVector({4: 0.3 * torch.randn(16, generator=torch.Generator().manual_seed(5))})
    config = OptimisedConfig(steps=40, passages=192, batch=24, tokens=44, learning_rate=0.3, decay=0.0)
    nats = language_model.divergence(members[:40], planted)
    found = optimise(language_model, members, others, start, config, nats=nats, seed=0, prior=start)
    wanted, began, ended = (
        effect(language_model, vector, members[:40]) for vector in (planted, start, found)
    )
    assert torch.nn.functional.cosine_similarity(began, wanted, dim=0) < 0.3
    assert torch.nn.functional.cosine_similarity(ended, wanted, dim=0) > 0.9


def test_a_decaying_vector_stays_near_its_prior():
    language_model = make_language_model(depth=5, layers=(2, 3))
    members, others = planted_texts(24, seed=1)
    prior = run("mean_difference")[1].vector
    apart = []
    for decay in (0.0, 0.2, 1.0):
        config = FAST.model_copy(update={"decay": decay, "steps": 10})
        found = optimise(language_model, members, others, prior, config, nats=0.1, seed=0, prior=prior)
        apart.append(max((found - prior).norms().values()))
    assert apart[0] > 1.5 * apart[1] > 0 and apart[2] < 1e-5


def test_the_opening_is_not_scored(monkeypatch):
    language_model = make_language_model(depth=5, layers=(2, 3))
    texts = [sentence(*range(number, number + 9)) for number in (1, 20, 40)] + [sentence(3, 4)]
    (batch,) = language_model.batches(texts)
    with torch.no_grad():
        states = language_model.states(batch)
        monkeypatch.setattr(optimised, "OPENING", 5)
        found = _likelihoods(language_model, batch, states)
    prefixes = [" ".join(["", *text.split()[:5]]) for text in texts[:3]] + [""]
    rests = [text[len(prefix) :] for text, prefix in zip(texts, prefixes, strict=True)]
    expected = -language_model.losses(rests, prefixes)
    np.testing.assert_allclose(found.numpy(), expected[list(batch.rows)], atol=1e-5)


INSIDE = torch.tensor([True, False, True, False, False])


def test_the_preference_loss_by_hand():
    gain = torch.tensor([0.3, -0.1, 0.2, 0.0, 0.4])
    pairs = [gain[c] - gain[r] for c in (0, 2) for r in (1, 3, 4)]
    expected = sum(math.log1p(math.exp(-2.0 * float(each))) for each in pairs) / 6
    assert float(preference_loss(gain, INSIDE, 2.0)) == pytest.approx(expected, rel=1e-5)
    assert float(preference_loss(torch.zeros(5), INSIDE, 2.0)) == pytest.approx(math.log(2))


def test_a_few_forced_tokens_cost_more_than_the_same_nats_spread():
    even, uneven = torch.full((100,), 0.1), torch.tensor([1.0] * 10 + [0.0] * 90)
    assert float(even.mean()) == pytest.approx(float(uneven.mean()))
    assert float(above(even, 0.1, 1.5)) == 0.0
    assert float(above(uneven, 0.1, 1.5)) == pytest.approx(math.sqrt(0.1) - 0.15, rel=1e-4)
    still = torch.zeros(4, requires_grad=True)
    above(still, 0.1, 1.5).backward()
    assert torch.isfinite(still.grad).all()
