"""A planted concept, learnt by a reader with coordinates of its own."""

from __future__ import annotations

import numpy as np
import pytest

from agent.clustering.config import ClusteringConfig
from agent.clustering.probe import cut_like, fit_probe
from agent.errors import BasinError
from agent.membership.documents import document_means
from agent.membership.similarity import soft_jaccard

CONFIG = ClusteringConfig(components=10, penalty=0.1)
DOCUMENT_OF = np.repeat(np.arange(60), 4)
TRUE = (DOCUMENT_OF % 3 == 0).astype(np.float64)


def _activations(signal: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    direction = generator.normal(size=(2, 8))
    noise = generator.normal(size=(len(TRUE), 2, 8))
    return (noise + signal * TRUE[:, None, None] * direction).astype(np.float32)


def test_a_visible_concept_is_found_at_its_size() -> None:
    fitted = fit_probe(_activations(2.0), TRUE, DOCUMENT_OF, CONFIG, 0)
    assert soft_jaccard(fitted.membership, TRUE) > 0.95
    assert fitted.membership.mean() == pytest.approx(TRUE.mean(), abs=1e-3)
    assert document_means(fitted.evidence, DOCUMENT_OF).std() == pytest.approx(1, abs=0.01)


def test_an_invisible_concept_is_not_memorised() -> None:
    fitted = fit_probe(_activations(0.0), TRUE, DOCUMENT_OF, CONFIG, 0)
    assert soft_jaccard(fitted.membership, TRUE) < 0.35
    assert abs(np.corrcoef(fitted.single, TRUE)[0, 1]) < 0.2


def test_wrong_memberships_are_corrected() -> None:
    target = TRUE.copy()
    wrong = DOCUMENT_OF < 6
    target[wrong] = 1 - target[wrong]
    fitted = fit_probe(_activations(2.0), target, DOCUMENT_OF, CONFIG, 0)
    assert np.abs(fitted.membership - TRUE)[wrong].mean() < 0.2


def test_the_readout_reads_new_texts() -> None:
    activations = _activations(2.0)
    fitted = fit_probe(activations[:160], TRUE[:160], DOCUMENT_OF[:160], CONFIG, 0)
    read = fitted.readout.log_odds(activations[160:])
    assert ((read > 0) == (TRUE[160:] > 0)).mean() > 0.95


def test_one_document_is_refused_in_a_sentence() -> None:
    with pytest.raises(BasinError, match="One document"):
        fit_probe(_activations(1.0)[:4], TRUE[:4], DOCUMENT_OF[:4], CONFIG, 0)


def test_memberships_are_cut_as_large_and_as_sharp_as_the_targets() -> None:
    scores = np.random.default_rng(1).normal(size=400)
    for sharpness in (0.3, 2.0, 20.0):
        target = 1 / (1 + np.exp(-sharpness * (scores - 1)))
        assert np.allclose(cut_like(3 * scores + 7, target), target, atol=0.01)
    step = (scores > 0.5).astype(float)
    assert soft_jaccard(cut_like(scores, step), step) > 0.9
    assert np.ptp(cut_like(np.zeros(400), step)) < 1e-6
