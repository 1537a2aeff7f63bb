"""Anchored self-training, the first refiner: a baseline with given trust and size.

A classifier learns the last membership, its log-odds are calibrated on the pointer's claims, the
pointer's log-odds are added at a fixed trust, and the passages of a document are pooled.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Refined
from agent.clustering.prior import Prior
from agent.clustering.texts import TrainingSet
from agent.membership.documents import document_mean, document_membership
from agent.membership.log_odds import calibration_slope, sigmoid, threshold


def self_train(
    texts: TrainingSet, membership: Float[np.ndarray, "passage"], prior: Prior, config: ClusteringConfig
) -> Refined:
    """Learn `membership` anew, with the pointer as one factor of the posterior."""
    own, document_of, count = config.self_training, texts.document_of, len(texts.document_of)
    centre = float(texts.pointers[:count].mean())
    pointer = own.trust * (texts.pointers - centre)
    targets = np.concatenate([membership, np.where(texts.degenerate, 0.0, prior.size)])
    for _ in range(own.steps):
        evidence = texts.ridges[0].evidence(targets)
        slope = calibration_slope(evidence[:count], prior.membership)
        single = slope * (evidence - float(evidence[:count].mean())) + pointer
        pooled = document_mean(single[:count], document_of)
        claimed = document_membership(pooled, document_of, prior.size)
        alone = sigmoid(single - threshold(single[:count], prior.size))
        # As far outside as any real passage: at 0 a degenerate text would count as an ordinary book.
        lowest = min(0.0, float(evidence[:count].min()))
        new = np.concatenate([claimed, np.where(texts.degenerate, lowest, alone[count:])])
        targets = own.damping * targets + (1 - own.damping) * new
    held_out = (single - pointer)[:count]
    return Refined(
        targets=targets,
        held_out=held_out,
        single=single,
        pooled=pooled,
        evidence=held_out,
        pointer_weight=own.trust,
        pointer_centre=centre,
        membership=targets[:count],
    )
