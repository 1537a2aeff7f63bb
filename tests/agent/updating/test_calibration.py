"""The strength found spends the budget, on a model and on curves of known shape."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import make_language_model

from agent.errors import BasinError
from agent.steering.vector import SteeringVector
from agent.updating.calibration import calibrate, solve_strength


@pytest.mark.parametrize("budget", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("size", [1e-3, 1.0, 300.0])
def test_the_budget_is_spent(budget, size, texts):
    language_model = make_language_model(depth=4)
    vector = size * SteeringVector({layer: torch.ones(16) for layer in language_model.layers})
    scaled, nats = calibrate(language_model, vector, texts, budget)
    assert nats == pytest.approx(budget, rel=0.05)
    assert language_model.divergence(texts, scaled) == pytest.approx(budget, rel=0.05)
    assert all(each.std() < 1e-5 * each.mean() for each in scaled.directions.values())  # the direction


@pytest.mark.parametrize(
    "curve",
    [
        lambda s: s**2,
        lambda s: 1e-9 * s**4,
        lambda s: 5 * (1 - math.exp(-s)),
        lambda s: 0.01 * s + (s > 7) * 30 * (s - 7),
    ],
    ids=["square", "slow start", "saturating", "kink"],
)
def test_curves_of_known_shape(curve):
    strength, nats = solve_strength(curve, 0.4)
    assert nats == curve(strength) == pytest.approx(0.4, rel=0.02)


def test_overflow_counts_as_too_much():
    strength, _ = solve_strength(lambda s: math.nan if s > 0.2 else s, 0.1)
    assert strength == pytest.approx(0.1, rel=0.02)


def test_a_vector_without_effect_is_named(texts):
    language_model = make_language_model(depth=2)
    with pytest.raises(BasinError, match="has too little effect"):
        calibrate(language_model, SteeringVector({1: torch.zeros(16)}), texts, 0.1)
    with pytest.raises(BasinError, match="spends 9.0 nats"):
        solve_strength(lambda s: min(s, 3.0), 9.0)
