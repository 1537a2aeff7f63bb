"""Anchored self-training: the first refiner, kept for what it does on one concept and as something to compare with.

A classifier learns the last membership, its log-odds are calibrated on the pointer's own claims, the pointer's log-odds are
added at a fixed trust, and a document's passages vote together. Trust and size are given, not found.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Prior, Texts
from agent.clustering.two_witnesses import Reclustering, fitting, linear_reading
from agent.concept import Readout
from agent.membership.documents import document_mean, document_membership
from agent.membership.log_odds import calibration_slope, sigmoid, threshold


def self_train(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    membership: Float[np.ndarray, "passage"],
    generated: Texts | None,
    prior: Prior,
    *,
    config: ClusteringConfig,
    seed: int,
) -> Reclustering:
    """Redraw the boundary around `membership`, with the pointer as one factor of the posterior.

    Args:
        document_of: the document index of every real passage; documents are never split between folds.
        membership: where the last round left the real passages, in [0, 1].
        generated: further unlabelled texts, or None.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    own, count, size = config.self_training, len(document_of), prior.size
    fit = fitting(real, generated, document_of, prior, config, seed)
    centre = float(real.pointer_log_odds.mean())
    pointer = own.trust * (fit.pointers - centre)
    targets = np.concatenate([membership, np.where(fit.degenerate, 0.0, size)])
    for _ in range(own.steps):
        evidence = fit.ridge.evidence(targets)
        slope = calibration_slope(evidence[:count], prior.membership)
        log_odds = slope * (evidence - float(evidence[:count].mean())) + pointer
        pooled = document_mean(log_odds[:count], document_of)
        claimed = document_membership(pooled, document_of, size)
        alone = sigmoid(log_odds - threshold(log_odds[:count], size))
        # As far outside as anything real: at 0 a spoiled text would count as any other book.
        lowest = min(0.0, float(evidence[:count].min()))
        new = np.concatenate([claimed, np.where(fit.degenerate, lowest, alone[count:])])
        targets = own.damping * targets + (1 - own.damping) * new
    held_out = (log_odds - pointer)[:count]
    across, bias = linear_reading(fit.ridge, targets, prior.projection, real, held_out)
    readout = Readout(across, bias, own.trust, centre, 0.0, 1.0)
    read = readout.log_odds(real.activations, real.pointer_log_odds)
    readout = replace(readout, threshold=threshold(read, size))
    return Reclustering(targets[:count], log_odds[:count], pooled, held_out, readout, alone[count:])
