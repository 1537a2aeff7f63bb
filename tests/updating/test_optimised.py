"""Planted texts: members use one half of the vocabulary, others the other half."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.updating import UpdatingConfig, update
from agent.updating.optimised import OptimisedConfig, optimise

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


def run(method: str, seed: int = 0, start=None):
    language_model = make_language_model(depth=5, layers=(2, 3))
    members, others = planted_texts(24, seed=1)
    return language_model, update(
        language_model,
        members,
        others,
        language_model.record(members),
        language_model.record(others),
        config=UpdatingConfig(method=method, budget_nats=0.1, optimised=FAST),
        seed=seed,
        start=start,
    )


def test_the_preference_holds_on_unseen_texts_and_beats_the_baseline():
    unseen = planted_texts(40, seed=2)
    language_model, baseline = run("mean_difference")
    _, optimised = run("optimised")
    assert baseline.nats_per_token == pytest.approx(0.1, rel=0.05)
    assert optimised.nats_per_token == pytest.approx(0.1, rel=0.05)
    gained = margin(language_model, optimised.vector, *unseen)
    assert gained > 0.05
    assert gained > 1.4 * margin(language_model, baseline.vector, *unseen)
    assert baseline.history == [] and len(optimised.history) == 30
    assert optimised.history[-1]["loss"] < optimised.history[0]["loss"]


def test_the_same_seed_gives_the_same_vector():
    first, again, other = (run("optimised", seed=seed)[1].vector for seed in (0, 0, 1))
    assert first.cosine(again) == pytest.approx(1.0) and (first - again).norms() == {2: 0.0, 3: 0.0}
    assert max((first - other).norms().values()) > 0


def test_a_start_is_where_it_sets_out_from():
    language_model, first = run("optimised")
    _, second = run("optimised", start=first.vector)
    assert second.history[0]["margin"] > first.history[0]["margin"]


def test_the_model_is_left_as_it_was(texts):
    language_model, _ = run("optimised")
    fresh = make_language_model(depth=5, layers=(2, 3))
    np.testing.assert_array_equal(language_model.record(texts), fresh.record(texts))
    assert all(
        not weight.requires_grad and weight.grad is None for weight in language_model.model.parameters()
    )


def test_the_penalty_holds_the_distance():
    language_model = make_language_model(depth=5, layers=(2, 3))
    members, others = planted_texts(24, seed=1)
    start = run("mean_difference")[1].vector
    for penalty, low, high in ((0.0, 0.2, 99.0), (100.0, 0.0, 0.15)):
        config = FAST.model_copy(update={"penalty": penalty, "learning_rate": 0.4})
        _, history = optimise(language_model, members, others, start, config, 0.05, seed=0)
        assert low < history[-1]["nats_per_token"] < high


def test_an_empty_group_is_named():
    language_model = make_language_model(depth=5, layers=(2, 3))
    with pytest.raises(BasinError, match="one of the two has none"):
        optimise(language_model, [], [sentence(1)], run("mean_difference")[1].vector, FAST, 0.1, seed=0)
