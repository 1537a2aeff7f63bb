"""Calibration of judges whose decisions were made from known probabilities."""

import numpy as np
import pytest

from agent.judging.decisions import Decisions, calibrated, uncalibrated


def made(share, seed=0, size=6000, slope=1.0, shift=0.0):
    """Labels drawn at their true log-odds, and decisions that are those log-odds shifted and scaled."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=size) * 1.5 + np.log(share / (1 - share))
    gold = rng.random(size) < 1 / (1 + np.exp(-log_odds))
    return log_odds, gold, Decisions((log_odds - shift) / slope, {}), rng.integers(5, size=size)


@pytest.mark.parametrize("slope", [0.02, 1.0, 30.0])
def test_whatever_the_scale_of_decisions_probabilities_mean_what_they_say(slope):
    log_odds, gold, decisions, folds = made(0.2, slope=slope, shift=2.0)
    judgement = calibrated(decisions, gold, folds)
    assert judgement.calibration_error < 0.02
    prior = np.log(gold.mean() / (1 - gold.mean()))
    assert judgement.real == pytest.approx(1 / (1 + np.exp(prior - log_odds)), abs=0.06)
    best = np.mean((1 / (1 + np.exp(-log_odds)) - gold) ** 2)
    assert judgement.brier == pytest.approx(best, abs=0.002)


def test_generated_texts_are_on_the_scale_of_the_real_ones():
    _, gold, decisions, folds = made(0.3)
    both = Decisions(decisions.real, {"basin": np.stack([decisions.real[:50]] * 5)})
    judgement = calibrated(both, gold, folds)
    assert judgement.generated["basin"] == pytest.approx(judgement.real[:50], abs=0.02)


def test_at_even_odds_members_and_others_are_as_sure_of_themselves():
    _, gold, decisions, folds = made(0.08, size=20000)
    judgement = calibrated(decisions, gold, folds)
    # The mean score of members and one less that of the others agree where the prior is even.
    assert judgement.members == pytest.approx(1 - judgement.non_members, abs=0.05)


def test_decisions_that_say_nothing_give_everything_the_same_score():
    rng = np.random.default_rng(0)
    gold, folds = rng.random(2000) < 0.4, rng.integers(5, size=2000)
    judgement = calibrated(Decisions(rng.normal(size=2000), {}), gold, folds)
    assert judgement.real == pytest.approx(0.5, abs=0.08)
    assert judgement.brier == pytest.approx(gold.mean() * (1 - gold.mean()), abs=0.003)


def test_a_judge_that_has_it_backwards_knows_nothing():
    _, gold, decisions, folds = made(0.3)
    judgement = calibrated(Decisions(-decisions.real, {"basin": -decisions.real[None, :9]}), gold, folds)
    assert judgement.auc < 0.3
    assert judgement.real == pytest.approx(0.5) and judgement.generated["basin"] == pytest.approx(0.5)


def test_uncalibrated_scores_are_the_decisions_themselves():
    decisions = Decisions(np.array([-1.0, 0, 2]), {"basin": np.array([[0.0, 1], [0, -1]])})
    judgement = uncalibrated(decisions, np.array([False, False, True]))
    assert judgement.generated["basin"] == pytest.approx([0.5, 0.5])
    assert judgement.members == pytest.approx(1 / (1 + np.exp(-2)))
    assert judgement.auc == 1 and judgement.calibration_error is None
