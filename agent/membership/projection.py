"""Projection of activations on their principal components, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from agent.errors import BasinError

BLOCK = 4096  # texts in double precision at a time
NOT_FINITE = "Some activations are not finite; load the language model in float32 (language_model.dtype)."


@dataclass(frozen=True)
class Projection:
    """Standardised activations on their principal components, scaled to unit mean variance."""

    mean: Float[np.ndarray, "column"]
    deviation: Float[np.ndarray, "column"]
    axes: Float[np.ndarray, "feature column"]
    scale: float

    @classmethod
    def fit(cls, activations: Float[np.ndarray, "text layer width"], components: int) -> Projection:
        """Learn at most `components` components from real texts.

        The covariance is summed over blocks of texts, so activations may be larger than memory.
        Signs are fixed by the largest entry of each axis.
        """
        count = min(components, len(activations) - 1, int(np.prod(activations.shape[1:])))
        if count < 1:
            raise BasinError("One passage cannot be clustered; give a corpus of several documents.")
        total = sum(block.sum(axis=0) for block in _blocks(activations))
        mean = np.asarray(total / len(activations))
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
        """Features of any texts. Raises `BasinError` where they are not finite."""
        features = np.empty((len(activations), len(self.axes)))
        start = 0
        for block in _blocks(activations):
            features[start : start + len(block)] = ((block - self.mean) / self.deviation) @ self.axes.T
            start += len(block)
        if not np.isfinite(features).all():
            raise BasinError(NOT_FINITE)
        return features / self.scale

    def pull_back(
        self, weights: Float[np.ndarray, "feature"], shape: tuple[int, ...]
    ) -> tuple[Float[np.ndarray, "layer width"], float]:
        """Weights and bias on activations of `shape` that equal `weights` on features."""
        flat = (self.axes.T @ weights) / self.deviation / self.scale
        return flat.reshape(shape), -float(self.mean @ flat)


def _blocks(activations: Float[np.ndarray, "text layer width"]) -> Iterator[Float[np.ndarray, "text column"]]:
    """Blocks of texts in double precision, layers side by side."""
    for start in range(0, len(activations), BLOCK):
        block = np.asarray(activations[start : start + BLOCK], dtype=np.float64)
        yield block.reshape(len(block), -1)
