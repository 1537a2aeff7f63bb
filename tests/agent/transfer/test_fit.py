"""Maps of every kind on pairs whose map is known."""

from __future__ import annotations

import numpy as np
import pytest
from planted_pairs import cosine, gathered, planted, rotation, some_weights

from agent.errors import BasinError
from agent.transfer.fit import METHODS, fit, fit_shuffled, random_map
from agent.transfer.linear_maps import Affine, LinearMap, Procrustes
from agent.transfer.moments import total

VECTOR = np.subtract(*planted(some_weights(), tokens=2)[0].astype(np.float64))
"""As likely as a difference between two texts."""


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_carries_a_direction_through_a_rotation(method: str) -> None:
    turn = rotation(12)
    pairs = gathered(*planted(turn))
    found = fit(method, pairs)
    assert found.unexplained < {"procrustes": 0.05}.get(method, 0.01)
    assert cosine(found.carrier.direction(VECTOR), VECTOR @ turn) > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_the_way_back_is_learnt_from_other_text_and_returns_the_direction(method: str) -> None:
    pairs = gathered(*planted(rotation(12)))
    there, back = fit(method, pairs), fit(method, pairs, back=True)
    assert not set(pairs.seen(1)) & set(pairs.seen(0))
    returned = back.carrier.direction(there.carrier.direction(VECTOR))
    assert cosine(returned, VECTOR) > 0.9


def test_affine_finds_any_weights_and_the_bias() -> None:
    weights = some_weights()
    pairs = gathered(*planted(weights, noise=0.01))
    found = Affine().fit(pairs.moments[1:])
    assert np.allclose(found.weights, weights, atol=0.05)
    assert found.bias == pytest.approx(3, abs=0.1)


def test_strength_rises_with_the_noise() -> None:
    quiet = gathered(*planted(some_weights(), noise=0.01, tokens=140))
    loud = gathered(*planted(some_weights(), noise=100.0, tokens=140))
    assert Affine().choose_strength(quiet.moments[1:]) < Affine().choose_strength(loud.moments[1:])


def test_procrustes_cannot_stretch_between_standardised_coordinates() -> None:
    parts = gathered(*planted(some_weights())).moments[1:]
    here, there = total(parts).deviations
    weights = Procrustes().fit(parts).weights * here[:, None] / there
    stretches = np.linalg.svd(weights, compute_uv=False)
    assert stretches == pytest.approx(stretches[0])


def test_unexplained_variance_from_moments_is_that_of_the_tokens() -> None:
    x, y = planted(some_weights(), noise=2.0)
    pairs = gathered(x, y)
    found, unseen = fit("affine", pairs), np.arange(len(x)) % 7 == 0
    errors = ((y[unseen] - x[unseen] @ found.carrier.weights - found.carrier.bias) ** 2).mean(0)
    assert found.unexplained == pytest.approx((errors / y[unseen].var(0)).mean(), rel=1e-3)


def test_what_must_not_work_does_not() -> None:
    pairs = gathered(*planted(some_weights()))
    true = VECTOR @ some_weights()
    assert fit_shuffled(pairs).unexplained == pytest.approx(1, abs=0.03)
    assert random_map(pairs, 0).unexplained > 1.2
    random = [cosine(random_map(pairs, seed).carrier.direction(VECTOR), true) for seed in range(40)]
    assert abs(np.mean(random)) < 0.2


def test_a_map_of_the_mean_alone_explains_nothing() -> None:
    pairs = gathered(*planted(some_weights()))
    unseen = pairs.moments[0]
    nothing = LinearMap.between_standards(np.zeros_like(unseen.xy), unseen)
    assert nothing.unexplained(unseen) == pytest.approx(1)


def test_one_part_is_refused_in_a_sentence() -> None:
    with pytest.raises(BasinError, match="several documents"):
        Affine().fit(gathered(*planted(some_weights())).moments[:1])
