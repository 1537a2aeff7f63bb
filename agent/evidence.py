"""Ways to read memberships off activations: what a method of re-clustering is made of. Maths only.

A method has `evidence(targets)`: a score for every text, of a document's passages by models that did not see the
document. Add one as a class beside the two here, and its name to `ClusteringConfig.method`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture

from agent.errors import BasinError

EVIDENCE_LIMIT = 50.0  # nats; beyond this a sigmoid is 0 or 1 in double precision
SHARE_FLOOR = 1e-6  # keeps log-odds finite


class Evidence(Protocol):
    """A method of re-clustering."""

    def evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]: ...


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
            total += log_odds(membership)
        return total / len(self.divisions)


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


def sigmoid(values: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return 1 / (1 + np.exp(-np.clip(values, -EVIDENCE_LIMIT, EVIDENCE_LIMIT)))


def log_odds(shares: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """log(q / (1 - q)) in nats, with q clipped to [1e-6, 1 - 1e-6]."""
    clipped = np.clip(shares, SHARE_FLOOR, 1 - SHARE_FLOOR)
    return np.log(clipped) - np.log1p(-clipped)
