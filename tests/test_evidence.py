"""What methods of re-clustering are made of: linear, blind to a document's own targets, and equal to known ones."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, LAYERS, WIDTH, activations_of
from sklearn.linear_model import Ridge

from agent.errors import BasinError
from agent.evidence import (
    CrossFittedRidge,
    OverlapMixture,
    Projection,
    calibration_slope,
    log_odds,
    sigmoid,
    threshold,
)
from agent.passages import document_folds


@pytest.fixture
def activations() -> np.ndarray:
    return activations_of(GOLD, seed=2)


@pytest.fixture
def ridge(activations):
    """Features of real and of five generated texts, their folds and weights, and a ridge on them."""
    generated = activations_of(np.ones(5), seed=9)
    features = Projection.fit(activations, 10).apply(np.concatenate([activations, generated]))
    folds = [np.r_[document_folds(DOCUMENT_OF, 5, seed), np.full(5, -1)] for seed in (0, 1)]
    weights = np.r_[np.ones(len(GOLD)), np.full(5, 0.3)]
    return CrossFittedRidge(features, weights, folds, penalty=0.5), features, weights, folds


@pytest.fixture
def targets():
    return np.random.default_rng(11).random(len(GOLD) + 5)


def test_evidence_is_linear_in_the_targets(ridge, targets):
    model = ridge[0]
    others = np.random.default_rng(12).random(len(targets))
    both = model.evidence(2.0 * targets - 0.5 * others)
    assert both == pytest.approx(2.0 * model.evidence(targets) - 0.5 * model.evidence(others))
    assert model.evidence(np.full(len(targets), 0.3)) == pytest.approx(0.3)


def test_a_fold_model_is_scikit_learns_ridge_on_the_other_documents(ridge, targets):
    model, features, weights, folds = ridge
    expected, everywhere = np.zeros(len(targets)), np.zeros(len(targets))
    for division in folds:
        for fold in range(5):
            outside = division != fold
            fitted = Ridge(alpha=0.5 * weights[outside].sum()).fit(
                features[outside], targets[outside], sample_weight=weights[outside]
            )
            scores = fitted.predict(features)
            expected[~outside] += scores[~outside] / len(folds)
            everywhere += scores / (5 * len(folds))
    evidence = model.evidence(targets)
    assert evidence[: len(GOLD)] == pytest.approx(expected[: len(GOLD)])
    assert evidence[len(GOLD) :] == pytest.approx(everywhere[len(GOLD) :])
    average, bias = model.average(targets)
    assert features @ average + bias == pytest.approx(everywhere)


@pytest.mark.parametrize("method", ["self_training", "mixture"])
def test_a_documents_score_does_not_change_with_its_own_targets(ridge, targets, method):
    model, features, weights, folds = ridge
    if method == "mixture":
        model = OverlapMixture(features, weights, folds, components=4, seed=0)
    before = model.evidence(targets)
    for document in (0, 17, 59):
        own = np.r_[document == DOCUMENT_OF, np.zeros(5, dtype=bool)]
        changed = np.where(own, 1 - targets, targets)
        after = model.evidence(changed)
        assert np.array_equal(after[own], before[own])
        assert not np.array_equal(after[~own], before[~own])


def test_a_linear_map_on_features_is_one_on_activations(activations):
    projection = Projection.fit(activations, 10)
    weights = np.random.default_rng(4).normal(size=10)
    across, bias = projection.pull_back(weights, (LAYERS, WIDTH))
    fresh = activations_of(GOLD, seed=22)
    assert np.einsum("tlw,lw->t", fresh, across) + bias == pytest.approx(projection.apply(fresh) @ weights)
    features = projection.apply(activations)
    assert features.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert features.std() == pytest.approx(1, rel=0.01)  # the components are found by a randomised method


def test_one_passage_cannot_be_clustered():
    with pytest.raises(BasinError, match="One passage"):
        Projection.fit(np.zeros((1, LAYERS, WIDTH)), 4)


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
