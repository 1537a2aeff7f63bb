"""Re-clustering: membership over real and generated texts from activations, anchored to the pointer. Maths only.

One step of anchored self-training: a linear classifier learns the last membership from the activations, always
scoring a document with models that never saw it; its log-odds are calibrated on the pointer's own claims, the
pointer's log-odds are added as one factor of the posterior, and a document's passages vote together. What the
classifier cannot express simply (the topic's mistakes about words) is lost on the way; what it can is kept
(weak-to-strong generalisation, Burns et al. 2023, arXiv 2312.09390).

Add a method: a class beside those in `agent/evidence.py`, and its name in `ClusteringConfig.method`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from agent.concept import Readout
from agent.errors import BasinError
from agent.evidence import (
    CrossFittedRidge,
    Evidence,
    OverlapMixture,
    Projection,
    calibration_slope,
    sigmoid,
    threshold,
)
from agent.passages import document_folds
from agent.types import StageConfig, seed_for


class ClusteringConfig(StageConfig):
    """How the boundary is redrawn."""

    method: Literal["self_training", "mixture"] = "self_training"
    trust: float = Field(1.0, ge=0)
    """Weight of the pointer's log-odds in the posterior; 1 counts it as one independent witness."""
    size: Literal["mass", "presence"] | Annotated[float, Field(gt=0, lt=1)] = "mass"
    """Share of the corpus the concept claims: the pointer's mass, the share of documents it speaks in (for a seeded topic,
    which holds few words of any text), or a number."""
    steps: int = Field(3, ge=1)
    """Self-training steps in a round."""
    damping: float = Field(0.5, ge=0, lt=1)
    """Share of the old membership kept in a step."""
    components: int = Field(150, ge=2)
    """Principal components of the activations that the classifier sees."""
    penalty: float = Field(1.0, gt=0)
    """Ridge penalty in units of a feature's mean variance times the number of training passages."""
    folds: int = Field(6, ge=2)
    divisions: int = Field(4, ge=1)
    """Ways of dividing the documents into folds; scores are averaged over them."""
    generated_share: float = Field(0.1, ge=0, le=0.5)
    """Share of the training weight that generated texts may have together; they never outweigh the real ones."""
    mixture_components: int = Field(16, ge=2)


@dataclass(frozen=True)
class Texts:
    """What re-clustering knows of some texts."""

    activations: Float[np.ndarray, "text layer width"]
    pointer_log_odds: Float[np.ndarray, "text"]

    def joined(self, others: Texts) -> Texts:
        """These texts, then the others."""
        return Texts(
            np.concatenate([self.activations, others.activations]),
            np.concatenate([self.pointer_log_odds, others.pointer_log_odds]),
        )


@dataclass(frozen=True)
class Reclustering:
    """A redrawn boundary."""

    membership: Float[np.ndarray, "passage"]
    """Documents pooled, in [0, 1]."""
    single: Float[np.ndarray, "passage"]
    """Log-odds of each passage alone, from models not fitted on its document."""
    pooled: Float[np.ndarray, "passage"]
    """Mean of `single` over the passage's document."""
    readout: Readout
    generated: Float[np.ndarray, "text"]
    """Membership of the generated texts, each alone."""


def recluster(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    membership: Float[np.ndarray, "passage"],
    pointer_membership: Float[np.ndarray, "passage"],
    generated: Texts | None,
    *,
    size: float,
    config: ClusteringConfig,
    seed: int,
) -> Reclustering:
    """Redraw the boundary around `membership`, with the pointer as one factor of the posterior.

    Args:
        document_of: the document index of every real passage; documents are never split between folds.
        membership: where the last round left the real passages, in [0, 1].
        pointer_membership: what the pointer itself claims; the classifier's confidence is calibrated on it.
        generated: further unlabelled texts, or None.
        size: share of the corpus to claim, in (0, 1).

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    texts = real if generated is None else real.joined(generated)
    count = len(real.pointer_log_odds)
    if not np.isfinite(texts.activations).all():
        raise BasinError(
            "Some activations are not finite; load the language model in float32 (language_model.dtype)."
        )
    projection = Projection.fit(real.activations, config.components)
    features = projection.apply(texts.activations)
    weights = _training_weights(count, len(features) - count, config.generated_share)
    divisions = _divisions(document_of, len(features) - count, config, seed)
    ridge = CrossFittedRidge(features, weights, divisions, config.penalty)
    method: Evidence = ridge
    if config.method == "mixture":
        method = OverlapMixture(features, weights, divisions, config.mixture_components, seed)
    centre = float(real.pointer_log_odds.mean())
    pointer = config.trust * (texts.pointer_log_odds - centre)
    targets = np.concatenate([membership, np.full(len(features) - count, size)])
    for _ in range(config.steps):
        evidence = method.evidence(targets)
        slope = calibration_slope(evidence[:count], pointer_membership)
        offset = float(evidence[:count].mean())
        log_odds = slope * (evidence - offset) + pointer
        pooled = document_mean(log_odds[:count], document_of)
        claimed = document_membership(pooled, document_of, size)
        alone = sigmoid(log_odds - threshold(log_odds[:count], size))
        new = np.concatenate([claimed, alone[count:]])
        targets = config.damping * targets + (1 - config.damping) * new
    held_out = (log_odds - pointer)[:count]
    readout = _readout(ridge, targets, projection, real, held_out, size=size, trust=config.trust)
    return Reclustering(targets[:count], log_odds[:count], pooled, readout, alone[count:])


def document_mean(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Every passage's value replaced by the mean over its document."""
    counts = np.bincount(document_of)
    return (np.bincount(document_of, weights=values) / np.maximum(counts, 1))[document_of]


def document_membership(
    pooled: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], size: float
) -> Float[np.ndarray, "passage"]:
    """Membership of whole documents, with mean `size` over the passages.

    Given what a document is about its passages are independent witnesses (mediation), so their log-odds add up:
    sigmoid(n_d (mean log-odds - b)), with b set by the size.
    """
    passages = np.bincount(document_of)[document_of].astype(np.float64)
    shift = threshold(pooled, size, passages)
    return sigmoid(passages * (pooled - shift))


def cross_fitted_log_odds(
    activations: Float[np.ndarray, "passage layer width"],
    targets: Float[np.ndarray, "passage"],
    folds: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
) -> Float[np.ndarray, "passage"]:
    """Held-out log-odds of `targets` from the classifier that re-clustering uses, fitted once, without a pointer."""
    features = Projection.fit(activations, config.components).apply(activations)
    evidence = CrossFittedRidge(features, np.ones(len(features)), [folds], config.penalty).evidence(targets)
    return calibration_slope(evidence, targets) * (evidence - evidence.mean())


def _training_weights(real: int, generated: int, share: float) -> Float[np.ndarray, "text"]:
    weight = min(1.0, share / (1 - share) * real / generated) if generated else 0.0
    return np.concatenate([np.ones(real), np.full(generated, weight)])


def _divisions(
    document_of: Int[np.ndarray, "passage"], generated: int, config: ClusteringConfig, seed: int
) -> list[Int[np.ndarray, "text"]]:
    documents = len(np.unique(document_of))
    folds = min(config.folds, documents)
    outside = np.full(generated, -1, dtype=np.int64)
    return [
        np.concatenate([document_folds(document_of, folds, seed_for(seed, number, "folds")), outside])
        for number in range(config.divisions)
    ]


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
