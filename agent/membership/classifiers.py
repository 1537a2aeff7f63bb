"""Ridge regression of memberships on features, cross-fitted by document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve


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

    def operator(self, document_of: Int[np.ndarray, "passage"]) -> Float[np.ndarray, "document document"]:
        """The matrix that takes memberships of documents to the documents' mean held-out scores.

        Only where all texts are passages of documents, numbered from 0 without gaps.
        """
        sums = np.zeros((int(document_of.max()) + 1, self.features.shape[1]))
        np.add.at(sums, document_of, self.features)
        passages = np.bincount(document_of).astype(np.float64)
        means, first = sums / passages[:, None], np.unique(document_of, return_index=True)[1]
        result = np.zeros((len(sums), len(sums)))
        for folds, models in self.divisions:
            for fold, model in enumerate(models):
                rows = folds[first] == fold
                weight = np.where(rows, 0.0, passages)  # each model knows the other folds, each text as 1
                share = weight / weight.sum()
                slopes = cho_solve(model.factor, (sums * (~rows)[:, None]).T - np.outer(model.centre, weight))
                result[rows] += share + (means[rows] - model.centre) @ slopes
        return result / len(self.divisions)

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


def _numbers(folds: Int[np.ndarray, "text"]) -> range:
    return range(int(folds.max()) + 1)
