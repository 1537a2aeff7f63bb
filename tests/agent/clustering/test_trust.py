"""Trust on planted data of one factor: the correlations give the planted loadings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.clustering.config import ClusteringConfig
from agent.clustering.trust import LARGEST_LOADING, Trust, estimate_trust
from agent.membership.classifiers import CrossFittedHalves, CrossFittedRidge
from agent.membership.documents import document_folds, document_means

DOCUMENTS, PASSAGES, FEATURES = 400, 2, 40
DOCUMENT_OF = np.repeat(np.arange(DOCUMENTS), PASSAGES)
BOUND = ClusteringConfig().min_z_score


def planted(
    seed: int, of_texts: float = 0.0, strength: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A latent of documents, features that hold it along one axis, and that axis read off.

    `of_texts` is the noise of a text along the axis, which no classifier can be rid of; without it a classifier errs
    only in what it learnt, so that two of them err independently.
    """
    generator = np.random.default_rng(seed)
    latent = generator.normal(size=DOCUMENTS)
    latent = (latent - latent.mean()) / latent.std()
    features = generator.normal(size=(len(DOCUMENT_OF), FEATURES))
    features[:, 0] = strength * (latent[DOCUMENT_OF] + of_texts * features[:, 0])
    return latent, features, document_means(features[:, 0], DOCUMENT_OF)


def pointing(latent: np.ndarray, loading: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed + 1000).normal(size=DOCUMENTS)
    return loading * latent + np.sqrt(1 - loading**2) * noise


def estimated(pointer: np.ndarray, features: np.ndarray, seed: int = 0) -> tuple[Trust, np.ndarray]:
    """The trust, and the evidence of documents that it speaks of."""
    folds = [document_folds(DOCUMENT_OF, 5, 10 * seed + number) for number in range(2)]
    halves = [document_folds(DOCUMENT_OF, 2, 10 * seed + 5 + number) for number in range(2)]
    ridge = CrossFittedRidge(features, np.ones(len(features)), folds, 0.1)
    pairs = CrossFittedHalves(features, folds, halves, 0.1)
    trust = estimate_trust(pointer, pointer, DOCUMENT_OF, ridge=ridge, halves=pairs, shuffles=49, seed=seed)
    return trust, document_means(ridge.evidence(pointer[DOCUMENT_OF]), DOCUMENT_OF)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


@pytest.mark.parametrize(
    ("loading", "of_texts"), [(0.5, 0.0), (0.7, 0.0), (0.85, 0.0), (0.8, 0.6), (0.8, 1.2)]
)
def test_planted_loadings_are_recovered(loading, of_texts):
    """Noise of a text must not count as agreement: a noise of 1.2 would put the pointer 0.2 too low."""
    errors = []
    for seed in range(5):
        latent, features, _ = planted(seed, of_texts)
        pointer = pointing(latent, loading, seed)
        trust, evidence = estimated(pointer, features, seed)
        known = min(correlation(evidence, latent), LARGEST_LOADING)
        errors.append([trust.pointer_loading - correlation(pointer, latent), trust.evidence_loading - known])
    worst = np.abs(np.mean(errors, axis=0)) if of_texts else np.abs(errors)
    assert worst.max() < 0.1, errors


def test_a_true_pointer_surprises_and_a_shuffled_one_does_not():
    for seed in range(3):
        latent, features, _ = planted(seed)
        assert estimated(pointing(latent, 0.5, seed), features, seed)[0].z_score > BOUND
    latent, features, _ = planted(0)
    pointer = pointing(latent, 0.7, 0)
    shuffles = [np.random.default_rng(50 + seed).permutation(pointer) for seed in range(20)]
    target = [estimated(each, features, seed)[0].z_score < BOUND for seed, each in enumerate(shuffles)]
    assert sum(target) >= 19


TRUST = Trust(
    correlation=0.4, null_mean=-0.1, z_score=10.0, half_loading=0.6, evidence_loading=0.7, pointer_loading=0.5
)


def test_the_weights_by_hand():
    # Precisions: 0.7 / 0.51 of the evidence, 0.5 / 0.75 of the pointer.
    assert TRUST.read_weight == pytest.approx((0.7 / 0.51) / (0.5 / 0.75))
    assert replace(TRUST, evidence_loading=0.9).read_weight == 4
    assert replace(TRUST, evidence_loading=0.2).read_weight == 1
    # The half's loading is 0.6 and the correlation is 0.5 above the null's, so the pointer's beside it is 0.5 / 0.6.
    assert TRUST.target_weight == pytest.approx((0.6 / 0.64) / ((5 / 6) / (1 - 25 / 36)))


def test_a_constant_pointer_points_at_nothing():
    _, features, _ = planted(0)
    trust, _ = estimated(np.full(DOCUMENTS, -3.0), features)
    assert trust.z_score <= BOUND
    assert all(np.isfinite(value) for value in vars(trust).values())
    assert np.isfinite(trust.read_weight) and np.isfinite(trust.target_weight)
