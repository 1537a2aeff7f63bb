"""Thresholds, log-odds and calibration by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agent.membership.log_odds import calibration_slope, log_odds, sigmoid, threshold


def test_the_threshold_solves_for_the_size():
    values = np.array([-3.0, -1.0, 0.5, 4.0])
    for size in (0.02, 0.5, 0.98):
        assert sigmoid(values - threshold(values, size)).mean() == pytest.approx(size)
    assert threshold(np.zeros(3), 0.25) == pytest.approx(np.log(3))
    for size in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            threshold(values, size)


def test_log_odds_are_finite_at_the_ends():
    values = log_odds(np.array([0.0, 0.5, 0.8, 1.0]))
    assert np.isfinite(values).all()
    assert values[1:3] == pytest.approx([0, np.log(4)])
    assert values[0] == pytest.approx(-values[3]) and values[0] < -10


def test_the_calibration_slope_recovers_log_odds_and_is_never_negative():
    scores = np.random.default_rng(0).normal(size=4000)
    membership = sigmoid(3 * scores)
    assert calibration_slope(scores, membership) == pytest.approx(3, rel=0.05)
    assert calibration_slope(10 * scores, membership) == pytest.approx(0.3, rel=0.05)
    assert calibration_slope(-scores, membership) == 0
    assert calibration_slope(np.zeros(4), np.array([0.0, 1, 0, 1])) == 0
