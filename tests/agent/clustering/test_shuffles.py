"""Z-scores of planted, shuffled and constant pointers."""

from __future__ import annotations

import numpy as np
from planted_activations import DOCUMENT_OF, DOCUMENTS, GOLD, activations_of, pointer_of

from agent.clustering.config import ClusteringConfig
from agent.clustering.shuffles import z_score_of
from agent.clustering.texts import View, cross_fitted
from agent.membership.documents import document_means

CONFIG = ClusteringConfig(components=12, folds=4, divisions=2)


def z_score(pointer: np.ndarray, seed: int = 0, strength: float = 2.5) -> float:
    view = View.of(activations_of(GOLD, seed, strength), CONFIG.components)
    return z_score_of(pointer, DOCUMENT_OF, cross_fitted(view.features, DOCUMENT_OF, CONFIG, seed), 49, seed)


def test_a_true_pointer_is_known_and_a_shuffled_one_is_not():
    pointer = document_means(pointer_of(GOLD, DOCUMENT_OF, 1), DOCUMENT_OF)
    assert min(z_score(pointer, seed) for seed in range(3)) > CONFIG.min_z_score
    shuffled = [np.random.default_rng(50 + seed).permutation(pointer) for seed in range(20)]
    assert sum(z_score(each, seed) < CONFIG.min_z_score for seed, each in enumerate(shuffled)) >= 18


def test_a_constant_pointer_points_at_nothing():
    assert abs(z_score(np.full(DOCUMENTS, -3.0))) <= CONFIG.min_z_score
