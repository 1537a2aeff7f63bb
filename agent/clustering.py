"""Re-clustering: membership over real and generated texts from activations, anchored to the pointer. Maths only.

One step of anchored self-training: a linear classifier learns the last membership from the activations, always
scoring a document with models that never saw it; its log-odds are calibrated on the pointer's own claims, the
pointer's log-odds are added as one factor of the posterior, and a document's passages vote together. What the
classifier cannot express simply (the topic's mistakes about words) is lost on the way; what it can is kept
(weak-to-strong generalisation, Burns et al. 2023, arXiv 2312.09390).

Add a method: a class with `evidence(targets)` beside the two here, and its name in `ClusteringConfig.method`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture

from agent.concept import Readout
from agent.errors import BasinError
from agent.passages import document_folds
from agent.types import StageConfig, seed_for

EVIDENCE_LIMIT = 50.0  # nats; beyond this a sigmoid is 0 or 1 in double precision


class ClusteringConfig(StageConfig):
    """How the boundary is redrawn."""

    method: Literal["self_training", "mixture"] = "self_training"
    trust: float = Field(1.0, ge=0)
    """Weight of the pointer's log-odds in the posterior; 1 counts it as one independent witness."""
    size: Literal["mass", "presence"] | float = "mass"
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


@dataclass(frozen=True)
class Projection:
    """Standardised activations on their principal components, scaled to unit mean variance."""

    mean: Float[np.ndarray, "column"]
    deviation: Float[np.ndarray, "column"]
    axes: Float[np.ndarray, "feature column"]
    scale: float

    @classmethod
    def fit(cls, activations: Float[np.ndarray, "text layer width"], components: int) -> Projection:
        """Learn the components from real texts; no more of them than the texts can carry."""
        flat = activations.reshape(len(activations), -1).astype(np.float64)
        mean, deviation = flat.mean(axis=0), flat.std(axis=0) + 1e-6
        count = min(components, len(flat) - 1, flat.shape[1])
        if count < 1:
            raise BasinError("One passage cannot be clustered; give a corpus of several documents.")
        pca = PCA(count, svd_solver="randomized" if len(flat) > 4 * count else "full", random_state=0)
        scores = pca.fit_transform((flat - mean) / deviation)
        return cls(mean, deviation, pca.components_, float(scores.std()) or 1.0)

    def apply(self, activations: Float[np.ndarray, "text layer width"]) -> Float[np.ndarray, "text feature"]:
        flat = activations.reshape(len(activations), -1).astype(np.float64)
        return ((flat - self.mean) / self.deviation) @ self.axes.T / self.scale

    def pull_back(
        self, weights: Float[np.ndarray, "feature"], shape: tuple[int, int]
    ) -> tuple[Float[np.ndarray, "layer width"], float]:
        """The linear map on activations of shape [layer, width] that equals `weights` on features, and its bias."""
        flat = (self.axes.T @ weights) / self.deviation / self.scale
        return flat.reshape(shape), -float(self.mean @ flat)


class CrossFittedRidge:
    """Ridge regression of memberships on features, scoring every passage without its own document.

    The regression is linear in its targets, so the fold's normal equations are factored once and a step costs
    O(passages x features). Memory is linear in passages.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "text feature"],
        weights: Float[np.ndarray, "text"],
        divisions: Sequence[Int[np.ndarray, "text"]],
        penalty: float,
    ) -> None:
        """`divisions` give every text's fold, -1 for texts that belong to no document and are never held out."""
        self.features = features
        self.models = []
        for folds in divisions:
            for fold in range(int(folds.max()) + 1):
                held_out = folds == fold
                weight = np.where(held_out, 0.0, weights)
                centre = np.average(features, axis=0, weights=weight)
                centred = features - centre
                gram = (centred * weight[:, None]).T @ centred
                gram[np.diag_indices_from(gram)] += penalty * weight.sum()
                self.models.append((held_out, weight, centre, cho_factor(gram)))
        self.held_out = sum(model[0].astype(float) for model in self.models)

    def evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """Held-out score of every text; texts of no document get the mean over all models."""
        scores, everywhere = np.zeros(len(targets)), np.zeros(len(targets))
        for (held_out, *_), (weights, bias) in zip(self.models, self._fits(targets), strict=True):
            score = self.features @ weights + bias
            scores += np.where(held_out, score, 0.0)
            everywhere += score / len(self.models)
        return np.where(self.held_out > 0, scores / np.maximum(self.held_out, 1), everywhere)

    def average(self, targets: Float[np.ndarray, "text"]) -> tuple[Float[np.ndarray, "feature"], float]:
        """The mean of all fold models, which scores texts of no document."""
        fits = self._fits(targets)
        return np.mean([weights for weights, _ in fits], axis=0), float(np.mean([bias for _, bias in fits]))

    def _fits(self, targets: Float[np.ndarray, "text"]) -> list[tuple[Float[np.ndarray, "feature"], float]]:
        fits = []
        for _, weight, centre, factor in self.models:
            mean = np.average(targets, weights=weight)
            weights = cho_solve(factor, self.features.T @ (weight * (targets - mean)))
            fits.append((weights, float(mean - centre @ weights)))
        return fits


class OverlapMixture:
    """A Gaussian mixture whose components belong to the concept as far as they overlap with it.

    A component's share is E_mu[m r_k] / E_mu[r_k], the overlap on texts that stands in for one in feature space.
    It is counted on the documents outside the fold, so no document vouches for itself.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "text feature"],
        weights: Float[np.ndarray, "text"],
        divisions: Sequence[Int[np.ndarray, "text"]],
        components: int,
        seed: int,
    ) -> None:
        self.weights, self.divisions = weights, divisions
        leading = features[:, : min(32, features.shape[1])]
        self.responsibilities = []
        for number in range(len(divisions)):
            mixture = GaussianMixture(
                min(components, max(2, len(leading) // 8)),
                covariance_type="diag",
                reg_covar=1e-2,
                random_state=seed + number,
            )
            self.responsibilities.append(mixture.fit(leading).predict_proba(leading))

    def evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """Log-odds of the mixture's membership, averaged over its fits."""
        total = np.zeros(len(targets))
        for folds, shares in zip(self.divisions, self.responsibilities, strict=True):
            membership = np.zeros(len(targets))
            for fold in [-1, *range(int(folds.max()) + 1)]:
                weight = np.where(folds == fold, 0.0, self.weights) if fold >= 0 else self.weights
                overlap = shares.T @ (weight * targets) / np.maximum(shares.T @ weight, 1e-12)
                membership[folds == fold] = shares[folds == fold] @ overlap
            clipped = np.clip(membership, 1e-6, 1 - 1e-6)
            total += np.log(clipped / (1 - clipped))
        return total / len(self.divisions)


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
    texts = real if generated is None else _joined(real, generated)
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
    method = ridge
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
    readout = _readout(
        ridge, projection, targets, log_odds, pointer, texts, count, size, config.trust, centre
    )
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


def threshold(
    log_odds: Float[np.ndarray, "text"], size: float, sharpness: Float[np.ndarray, "text"] | float = 1.0
) -> float:
    """The b with mean sigmoid(sharpness (log_odds - b)) = size. Raises ValueError unless 0 < size < 1."""
    if not 0 < size < 1:
        raise ValueError(f"a size of {size} is not a share between 0 and 1")
    low, high = float(log_odds.min()) - EVIDENCE_LIMIT, float(log_odds.max()) + EVIDENCE_LIMIT
    return float(
        brentq(lambda b: float(sigmoid(sharpness * (log_odds - b)).mean()) - size, low, high, xtol=1e-10)
    )


def calibration_slope(
    evidence: Float[np.ndarray, "passage"], membership: Float[np.ndarray, "passage"]
) -> float:
    """Slope that turns held-out scores into log-odds of `membership` (Platt 1999), never negative.

    Fitted on the pointer's claims, not on the concept's own: confidence has to be earned against something outside.
    """
    scores = np.concatenate([evidence, evidence])[:, None]
    deviation = float(scores.std())
    if deviation == 0:
        return 0.0
    labels = np.repeat([1, 0], len(evidence))
    weights = np.concatenate([membership, 1 - membership])
    # A weak ridge keeps the slope finite where the scores separate the claims perfectly.
    model = LogisticRegression(C=10.0).fit(scores / deviation, labels, sample_weight=weights)
    return max(0.0, float(model.coef_[0, 0])) / deviation


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


def sigmoid(values: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return 1 / (1 + np.exp(-np.clip(values, -EVIDENCE_LIMIT, EVIDENCE_LIMIT)))


def _joined(real: Texts, generated: Texts) -> Texts:
    return Texts(
        np.concatenate([real.activations, generated.activations]),
        np.concatenate([real.pointer_log_odds, generated.pointer_log_odds]),
    )


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
    projection: Projection,
    targets: Float[np.ndarray, "text"],
    log_odds: Float[np.ndarray, "text"],
    pointer: Float[np.ndarray, "text"],
    texts: Texts,
    count: int,
    size: float,
    trust: float,
    centre: float,
) -> Readout:
    """The linear reading of the final membership that scores new texts."""
    weights, bias = ridge.average(targets)
    scores = ridge.features[:count] @ weights + bias
    # The averaged model is put on the scale of the held-out log-odds, which are the honest ones.
    spread = float(scores.std())
    slope = float((log_odds - pointer)[:count].std()) / spread if spread > 0 else 0.0
    across, shift = projection.pull_back(slope * weights, texts.activations.shape[1:])
    readout = Readout(across, slope * (bias - float(scores.mean())) + shift, trust, centre, 0.0, 1.0)
    alone = readout.evidence(texts.activations[:count]) + pointer[:count]
    return replace(readout, threshold=threshold(alone, size))
