"""Ways to read memberships off activations: what a method of re-clustering is made of. Maths only.

A method has `evidence(targets)`: a score for every text, of a document's passages by models that did not see the
document. Add one as a class beside the two here, and its name to `ClusteringConfig.method`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture

from agent.errors import BasinError

EVIDENCE_LIMIT = 50.0  # nats; beyond this a sigmoid is 0 or 1 in double precision
BLOCK = 4096  # texts in double precision at a time
SHARE_FLOOR = 1e-6  # keeps log-odds finite
NOT_FINITE = "Some activations are not finite; load the language model in float32 (language_model.dtype)."


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
        """Learn the components from real texts; no more of them than the texts can carry.

        The covariance is summed over blocks of texts, so activations may be memory-mapped and larger than memory.
        Deterministic: a full eigendecomposition, signs fixed by the largest entry of each axis.
        """
        count = min(components, len(activations) - 1, int(np.prod(activations.shape[1:])))
        if count < 1:
            raise BasinError("One passage cannot be clustered; give a corpus of several documents.")
        total = sum(block.sum(axis=0) for block in _blocks(activations))
        mean = total / len(activations)
        if not np.isfinite(mean).all():
            raise BasinError(NOT_FINITE)
        scatter = sum((block - mean).T @ (block - mean) for block in _blocks(activations))
        deviation = np.sqrt(np.diag(scatter) / len(activations)) + 1e-6
        correlation = scatter / len(activations) / np.outer(deviation, deviation)
        size = len(correlation)
        variances, axes = eigh(correlation, subset_by_index=(size - count, size - 1))
        variances, axes = np.maximum(variances[::-1], 0), axes.T[::-1]
        signs = np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])
        return cls(mean, deviation, axes * signs[:, None], float(np.sqrt(variances.mean())) or 1.0)

    def apply(self, activations: Float[np.ndarray, "text layer width"]) -> Float[np.ndarray, "text feature"]:
        features = np.empty((len(activations), len(self.axes)))
        start = 0
        for block in _blocks(activations):
            features[start : start + len(block)] = ((block - self.mean) / self.deviation) @ self.axes.T
            start += len(block)
        return features / self.scale

    def pull_back(
        self, weights: Float[np.ndarray, "feature"], shape: tuple[int, int]
    ) -> tuple[Float[np.ndarray, "layer width"], float]:
        """The linear map on activations of shape [layer, width] that equals `weights` on features, and its bias."""
        flat = (self.axes.T @ weights) / self.deviation / self.scale
        return flat.reshape(shape), -float(self.mean @ flat)


class _Normal:
    """Normal equations of one ridge regression, factored once: a fit to new targets costs O(passages x features)."""

    def __init__(
        self, features: Float[np.ndarray, "text feature"], weights: Float[np.ndarray, "text"], penalty: float
    ) -> None:
        self.features, self.weights = features, weights
        self.centre = np.average(features, axis=0, weights=weights)
        gram = (features * weights[:, None]).T @ features - weights.sum() * np.outer(self.centre, self.centre)
        gram[np.diag_indices_from(gram)] += penalty * weights.sum()
        self.factor = cho_factor(gram)

    def fit(self, targets: Float[np.ndarray, "text"]) -> tuple[Float[np.ndarray, "feature"], float]:
        mean = np.average(targets, weights=self.weights)
        coefficients = cho_solve(self.factor, self.features.T @ (self.weights * (targets - mean)))
        return coefficients, float(mean - self.centre @ coefficients)


class CrossFittedRidge:
    """Ridge regression of memberships on features, scoring every passage without its own document.

    Memory is linear in passages.
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
        self.divisions = [
            (
                folds,
                [
                    _Normal(features, np.where(folds == fold, 0.0, weights), penalty)
                    for fold in _numbers(folds)
                ],
            )
            for folds in divisions
        ]

    def evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """Held-out score of every text, mean over the divisions; texts of no document get the mean of all models."""
        return np.mean([self._scores(*division, targets) for division in self.divisions], axis=0)

    def quick_evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """The same from the first division alone."""
        return self._scores(*self.divisions[0], targets)

    def average(self, targets: Float[np.ndarray, "text"]) -> tuple[Float[np.ndarray, "feature"], float]:
        """The mean of all fold models, which scores texts of no document."""
        fits = [model.fit(targets) for _, models in self.divisions for model in models]
        return np.mean([weights for weights, _ in fits], axis=0), float(np.mean([bias for _, bias in fits]))

    def _scores(
        self, folds: Int[np.ndarray, "text"], models: Sequence[_Normal], targets: Float[np.ndarray, "text"]
    ) -> Float[np.ndarray, "text"]:
        fits = [model.fit(targets) for model in models]
        every = self.features @ np.mean([weights for weights, _ in fits], axis=0)
        scores = every + np.mean([bias for _, bias in fits])
        for fold, (weights, bias) in enumerate(fits):
            scores[folds == fold] = self.features[folds == fold] @ weights + bias
        return scores


class CrossFittedHalves:
    """Two classifiers from disjoint halves of the documents, compared on documents that neither saw."""

    def __init__(
        self,
        features: Float[np.ndarray, "text feature"],
        divisions: Sequence[Int[np.ndarray, "text"]],
        halves: Sequence[Int[np.ndarray, "text"]],
        penalty: float,
    ) -> None:
        """`halves` say 0 or 1 for every text, alike for all texts of a document; one array for each division."""
        self.features = features
        self.divisions = [
            (
                folds,
                [
                    [_Normal(features, _half(folds != fold, half == side), penalty) for side in (0, 1)]
                    for fold in _numbers(folds)
                ],
            )
            for folds, half in zip(divisions, halves, strict=True)
        ]

    def correlation(self, targets: Float[np.ndarray, "text"], document_of: Int[np.ndarray, "text"]) -> float:
        """Correlation over documents of the two classifiers' held-out scores, mean over the divisions.

        As if each read its own half of a document's passages, so that what one text hides or feigns is not taken for
        agreement; documents of one passage are left out. Where most are of one passage, both read the same.
        """
        if np.ptp(targets) == 0:
            return 0.0
        found = []
        for folds, pairs in self.divisions:
            scores = np.empty((2, len(targets)))
            for fold, pair in enumerate(pairs):
                for side, model in enumerate(pair):
                    weights, bias = model.fit(targets)
                    scores[side, folds == fold] = self.features[folds == fold] @ weights + bias
            found.append(_agreement(scores, document_of))
        return float(np.mean(found))


def _agreement(scores: Float[np.ndarray, "2 text"], document_of: Int[np.ndarray, "text"]) -> float:
    """What two scores would correlate over documents if each read one half of a document's passages, and not the same.

    From the components of variance (Searle et al. 1992, "Variance components", 3.6), so the same for every way of
    halving: passages of a document add their covariance over n to that of its means.
    """
    means = np.stack([document_means(each, document_of) for each in scores])
    if mostly_single(document_of):
        return correlation(*means)
    several = np.bincount(document_of) > 1
    apart = scores - means[:, document_of]
    passages = np.bincount(document_of)[several]
    between = np.cov(means[:, several], ddof=0)
    of_texts = [
        [
            np.mean(np.bincount(document_of, weights=one * other)[several] / (passages - 1) / passages)
            for other in apart
        ]
        for one in apart
    ]
    variances = np.diag(between) + np.diag(of_texts)
    if variances.min() <= 0:
        return 0.0
    return float((between[0, 1] - of_texts[0][1]) / np.sqrt(variances.prod()))


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


def _blocks(activations: Float[np.ndarray, "text layer width"]) -> Iterator[Float[np.ndarray, "text column"]]:
    """Texts in double precision, layers side by side, a bounded number at a time."""
    for start in range(0, len(activations), BLOCK):
        block = np.asarray(activations[start : start + BLOCK], dtype=np.float64)
        yield block.reshape(len(block), -1)


def _half(outside: Bool[np.ndarray, "text"], side: Bool[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """Weights of one half of the texts outside a fold; of all of them where so few documents leave the half empty."""
    return (outside & side if (outside & side).any() else outside).astype(np.float64)


def in_units_of(
    reference: Float[np.ndarray, "passage"], values: Float[np.ndarray, "text"]
) -> Float[np.ndarray, "text"]:
    """Values counted in deviations of the reference, from its mean; of a constant reference, very large numbers."""
    return (values - reference.mean()) / spread(reference)


def spread(values: Float[np.ndarray, "text"]) -> float:
    """Standard deviation, never zero."""
    return max(float(values.std()), 1e-12)


def document_means(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "document"]:
    """Mean of every document's values; documents are numbered from 0 without gaps."""
    return np.bincount(document_of, weights=values) / np.bincount(document_of)


def numbered(document_of: Int[np.ndarray, "passage"]) -> Int[np.ndarray, "passage"]:
    """Documents numbered from 0 without gaps."""
    return np.unique(document_of, return_inverse=True)[1]


def mostly_single(document_of: Int[np.ndarray, "passage"]) -> bool:
    """Whether most documents are of one passage, whose noise nothing tells from what the document is about."""
    return bool((np.bincount(document_of) > 1).mean() < 0.5)


def correlation(first: Float[np.ndarray, "document"], second: Float[np.ndarray, "document"]) -> float:
    """Pearson's, and 0 where one of the two is constant."""
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 and second.std() > 0 else 0.0


def _numbers(folds: Int[np.ndarray, "text"]) -> range:
    return range(int(folds.max()) + 1)


def calibration_slope(
    evidence: Float[np.ndarray, "passage"], membership: Float[np.ndarray, "passage"]
) -> float:
    """Slope that turns held-out scores into log-odds of `membership` (Platt 1999), never negative.

    Fitted on the pointer's claims, not on the concept's own: confidence has to be earned against something outside.
    """
    deviation = float(np.concatenate([evidence, evidence]).std())
    if deviation == 0:
        return 0.0
    return max(0.0, float(soft_logistic(evidence / deviation, membership).coef_[0, 0])) / deviation


def soft_logistic(
    scores: Float[np.ndarray, "text"], membership: Float[np.ndarray, "text"]
) -> LogisticRegression:
    """Logistic regression of labels in [0, 1] on one score: every text is a member and a non-member, each in part."""
    weights = np.concatenate([membership, 1 - membership])
    # A weak ridge keeps the slope finite where the scores separate the labels perfectly.
    return LogisticRegression(C=10.0).fit(
        np.concatenate([scores, scores])[:, None], np.repeat([1, 0], len(scores)), sample_weight=weights
    )


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
