"""The first refiner on activations with a planted cluster, and its place in the loop."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, activations_of, pointer_of
from sklearn.metrics import average_precision_score

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Reclustering
from agent.clustering.prior import Prior, estimate_prior
from agent.clustering.redraw import redraw
from agent.clustering.texts import Texts
from agent.membership.documents import document_mean

SIZE = 0.25
CONFIG = ClusteringConfig(method="self_training", components=16, folds=5, divisions=2, shuffles=9, size=SIZE)


@pytest.fixture
def real() -> Texts:
    return Texts(activations_of(GOLD, seed=2), pointer_of(GOLD, DOCUMENT_OF, seed=1, strength=1.2))


def anchored(real: Texts) -> Prior:
    return estimate_prior(real, DOCUMENT_OF, SIZE, CONFIG, 3)


def trained(
    real: Texts, rounds: int = 3, generated: Texts | None = None, config: ClusteringConfig = CONFIG
) -> Reclustering:
    context = anchored(real)
    drawn = None
    for _ in range(rounds):
        drawn = redraw(real, DOCUMENT_OF, drawn, generated, context, config=config, seed=3)
    return drawn


def precision(scores: np.ndarray) -> float:
    return average_precision_score(GOLD, scores)


def test_the_concept_beats_its_pointer_alone_and_on_documents(real):
    drawn = trained(real)
    assert precision(drawn.single) > precision(real.pointer_log_odds) + 0.1
    assert precision(drawn.pooled) > precision(document_mean(real.pointer_log_odds, DOCUMENT_OF)) + 0.02


def test_degenerate_texts_are_outside(real):
    written = activations_of(np.ones(40, dtype=bool), seed=9)
    read = {
        target: trained(real, generated=Texts(written, np.full(40, 2.0), np.full(40, target))).readout
        for target in (True, False)
    }
    alike = activations_of(np.ones(40, dtype=bool), seed=10)
    members = {target: each.membership(alike, np.full(40, 2.0)).mean() for target, each in read.items()}
    assert members[True] < members[False]
