"""What methods of re-clustering are made of: linear, blind to a document's own targets, and equal to known ones."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, activations_of
from sklearn.linear_model import Ridge

from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_folds
from agent.membership.projection import Projection


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


def test_a_documents_score_does_not_change_with_its_own_targets(ridge, targets):
    model = ridge[0]
    before = model.evidence(targets)
    for document in (0, 17, 59):
        own = np.r_[document == DOCUMENT_OF, np.zeros(5, dtype=bool)]
        changed = np.where(own, 1 - targets, targets)
        after = model.evidence(changed)
        assert np.array_equal(after[own], before[own])
        assert not np.array_equal(after[~own], before[~own])
