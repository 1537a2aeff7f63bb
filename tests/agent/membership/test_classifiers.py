"""What methods of re-clustering are made of: linear, blind to a document's own targets, and equal to known ones."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, DOCUMENTS, GOLD, PASSAGES, activations_of
from sklearn.linear_model import Ridge

from agent.membership.classifiers import CrossFittedHalves, CrossFittedRidge, OverlapMixture
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


@pytest.mark.parametrize("method", ["ridge", "mixture"])
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


def test_halves_agree_on_planted_but_not_on_shuffled_targets(activations):
    features = Projection.fit(activations, 16).apply(activations)
    folds = [document_folds(DOCUMENT_OF, 5, seed) for seed in (0, 1)]
    halves = [document_folds(DOCUMENT_OF, 2, seed) for seed in (5, 6)]
    pairs = CrossFittedHalves(features, folds, halves, penalty=0.5)
    assert pairs.correlation(GOLD.astype(float), DOCUMENT_OF) > 0.5
    by_chance = [
        pairs.correlation(
            GOLD[::PASSAGES][np.random.default_rng(seed).permutation(DOCUMENTS)][DOCUMENT_OF].astype(float),
            DOCUMENT_OF,
        )
        for seed in range(20)
    ]
    assert abs(np.mean(by_chance)) < 0.25
    assert pairs.correlation(np.full(len(GOLD), 0.4), DOCUMENT_OF) == 0


def test_a_half_learns_from_its_documents_alone_and_never_from_the_fold(activations):
    """Parity with two ridges of scikit-learn, for one fold and one way of halving."""
    features = Projection.fit(activations, 8).apply(activations)
    targets = np.random.default_rng(3).random(DOCUMENTS)[DOCUMENT_OF] + GOLD
    folds, half = document_folds(DOCUMENT_OF, 2, 1), document_folds(DOCUMENT_OF, 2, 2)
    scores = np.empty((2, len(targets)))
    for side in (0, 1):
        for fold in (0, 1):
            seen = (folds != fold) & (half == side)
            fitted = Ridge(alpha=0.5 * seen.sum()).fit(features[seen], targets[seen])
            scores[side, folds == fold] = fitted.predict(features[folds == fold])
    pairs = CrossFittedHalves(features, [folds], [half], 0.5)
    # Of texts that each are a document, both classifiers read the same.
    of_texts = pairs.correlation(targets, np.arange(len(targets)))
    assert of_texts == pytest.approx(np.corrcoef(scores)[0, 1])
