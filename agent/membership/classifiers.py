"""Classifiers of memberships from features, cross-fitted by document: ridge regression and a mixture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_factor, cho_solve
from sklearn.mixture import GaussianMixture

from agent.membership.documents import document_means
from agent.membership.log_odds import log_odds
from agent.membership.similarity import correlation


class _Normal:
    """Normal equations of a ridge regression, factored once for many targets."""

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
    """Ridge regressions that score every passage by a model that did not see its document."""

    def __init__(
        self,
        features: Float[np.ndarray, "text feature"],
        weights: Float[np.ndarray, "text"],
        divisions: Sequence[Int[np.ndarray, "text"]],
        penalty: float,
    ) -> None:
        """`divisions` give every text's fold; -1 for texts of no document, never held out."""
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
        """Held-out scores, averaged over the divisions; texts of no document get all models."""
        return np.asarray(np.mean([self._scores(*division, targets) for division in self.divisions], axis=0))

    def quick_evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """Scores from the first division alone."""
        return self._scores(*self.divisions[0], targets)

    def average(self, targets: Float[np.ndarray, "text"]) -> tuple[Float[np.ndarray, "feature"], float]:
        """Weights and bias, averaged over all models."""
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
        return np.asarray(scores)


class OverlapMixture:
    """A Gaussian mixture whose components belong to the concept by their overlap with it.

    A component's share is E_mu[m r_k] / E_mu[r_k], measured on texts outside the fold.
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


class CrossFittedHalves:
    """Pairs of classifiers from disjoint halves of the documents, compared on other documents."""

    def __init__(
        self,
        features: Float[np.ndarray, "text feature"],
        divisions: Sequence[Int[np.ndarray, "text"]],
        halves: Sequence[Int[np.ndarray, "text"]],
        penalty: float,
    ) -> None:
        """`halves` give 0 or 1 for every text, the same within a document; one array a division."""
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
        """Correlation over documents of the two classifiers' scores, averaged over the divisions.

        As if each read its own half of a document's passages, so that the noise of a text does not
        count as agreement. Documents of one passage are left out, unless most are.
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
    """Correlation over documents of two scores that read different halves of the passages.

    From the components of variance (Searle et al. 1992, "Variance components", 3.6), so independent
    of the halving: passages of a document add their covariance over n to that of its means.
    """
    means = np.stack([document_means(each, document_of) for each in scores])
    several = np.bincount(document_of) > 1
    if several.mean() < 0.5:  # the noise of single passages cannot be separated from the document's subject
        return correlation(*means)
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


def _half(outside: Bool[np.ndarray, "text"], side: Bool[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """Weights of one half of the texts outside a fold; of all of them where the half is empty."""
    return (outside & side if (outside & side).any() else outside).astype(np.float64)


def _numbers(folds: Int[np.ndarray, "text"]) -> range:
    return range(int(folds.max()) + 1)
