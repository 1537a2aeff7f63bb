"""Anchored self-training: the first refiner, kept for what it does on one concept and as something to compare with.

A classifier learns the last membership, its log-odds are calibrated on the pointer's own claims, the pointer's log-odds are
added at a fixed trust, and a document's passages vote together. Trust and size are given, not found.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from agent.clustering import (
    Anchor,
    ClusteringConfig,
    Reclustering,
    Texts,
    divisions_of,
    document_mean,
    document_membership,
    features_of,
    training_weights,
)
from agent.concept import Readout
from agent.evidence import CrossFittedRidge, Projection, calibration_slope, sigmoid, threshold


def self_train(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    membership: Float[np.ndarray, "passage"],
    generated: Texts | None,
    anchor: Anchor,
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
    own, count, size = config.self_training, len(real.pointer_log_odds), anchor.size
    features, pointers = anchor.features, real.pointer_log_odds
    if generated is not None:
        features = np.concatenate([features, features_of(generated, anchor.projection)])
        pointers = np.concatenate([pointers, generated.pointer_log_odds])
    extra = len(features) - count
    weights = training_weights(count, extra, config.generated_share)
    ridge = CrossFittedRidge(
        features, weights, divisions_of(document_of, extra, config, seed), config.penalty
    )
    pointer = own.trust * (pointers - float(real.pointer_log_odds.mean()))
    targets = np.concatenate([membership, np.full(extra, size)])
    for _ in range(own.steps):
        evidence = ridge.evidence(targets)
        slope = calibration_slope(evidence[:count], anchor.membership)
        log_odds = slope * (evidence - float(evidence[:count].mean())) + pointer
        pooled = document_mean(log_odds[:count], document_of)
        claimed = document_membership(pooled, document_of, size)
        alone = sigmoid(log_odds - threshold(log_odds[:count], size))
        new = np.concatenate([claimed, alone[count:]])
        targets = own.damping * targets + (1 - own.damping) * new
    held_out = (log_odds - pointer)[:count]
    readout = _readout(ridge, targets, anchor.projection, real, held_out, size=size, trust=own.trust)
    return Reclustering(targets[:count], log_odds[:count], pooled, held_out, readout, alone[count:])


def _readout(
    ridge: CrossFittedRidge,
    targets: Float[np.ndarray, "text"],
    projection: Projection,
    real: Texts,
    held_out: Float[np.ndarray, "passage"],
    *,
    size: float,
    trust: float,
) -> Readout:
    """The linear reading of the final membership that scores new texts.

    The averaged model is put on the scale of `held_out`, the honest log-odds of the real texts without the pointer.
    """
    weights, bias = ridge.average(targets)
    scores = ridge.features[: len(held_out)] @ weights + bias
    spread = float(scores.std())
    slope = float(held_out.std()) / spread if spread > 0 else 0.0
    across, shift = projection.pull_back(slope * weights, real.activations.shape[1:])
    centre = float(real.pointer_log_odds.mean())
    readout = Readout(across, slope * (bias - float(scores.mean())) + shift, trust, centre, 0.0, 1.0)
    alone = readout.log_odds(real.activations, real.pointer_log_odds)
    return replace(readout, threshold=threshold(alone, size))
