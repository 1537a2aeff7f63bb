"""Linear maps between two models' residual streams, and their error on unseen text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve

Method = Literal["affine", "procrustes"]
METHODS: tuple[Method, ...] = get_args(Method)
STRENGTH = 1e-3
"""Ridge penalty, in units of the variance of a coordinate of x; on Brown, any from 1e-6 to 0.1 is as good."""


@dataclass(frozen=True)
class LinearMap:
    """y = x W + b."""

    weights: Float[np.ndarray, "source target"]
    bias: Float[np.ndarray, "target"]
    unexplained: float = float("nan")
    """Unexplained variance of y on unseen text; NaN before `tested`."""

    def tested(self, x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"]) -> LinearMap:
        """The same map with its squared error over the variance, averaged over the coordinates of y.

        1 for the mean of y alone, above 1 where the map does harm. Every coordinate has the same
        weight, since one of Gemma 3's 640 holds half of the stream's variance.
        """
        errors = ((y - x @ self.weights.astype(x.dtype) - self.bias.astype(x.dtype)) ** 2).mean(0)
        return replace(self, unexplained=float((errors / deviations(y) ** 2).mean()))


def fit_map(
    method: Method, x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"]
) -> LinearMap:
    """The map from x to y, fitted between standardised coordinates.

    `affine` is ridge regression (Hoerl and Kennard 1970). `procrustes` is an orthogonal map with one
    common scale (Schoenemann 1966): W = s U V^T with U S V^T = X^T Y, s = tr(S) / |X U V^T|^2.
    """
    here, there = standardised(x), standardised(y)
    products = (here.T @ there).astype(np.float64)
    if method == "affine":
        scatter = (here.T @ here).astype(np.float64) + STRENGTH * len(x) * np.eye(here.shape[1])
        return _between_standards(solve(scatter, products, assume_a="pos"), x, y)
    left, values, right = np.linalg.svd(products, full_matrices=False)
    rotation = left @ right
    scale = values.sum() / max(float(((here @ rotation) ** 2).sum()), 1e-12)
    return _between_standards(scale * rotation, x, y)


def random_map(
    x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"], seed: int
) -> LinearMap:
    """Independent normal weights, at the scale that preserves the variance of y."""
    weights = np.random.default_rng(seed).standard_normal((x.shape[1], y.shape[1]), dtype=np.float32)
    scale = np.linalg.norm(standardised(y)) / np.linalg.norm(standardised(x) @ weights)
    return _between_standards(scale * weights, x, y)


def deviations(values: Float[np.ndarray, "token width"]) -> Float[np.ndarray, "width"]:
    """Standard deviation of every coordinate; 1 for one that never varies."""
    found = values.std(0, dtype=np.float64)
    return np.where(found > 0, found, 1.0)


def standardised(values: Float[np.ndarray, "token width"]) -> Float[np.ndarray, "token width"]:
    """Coordinates of mean 0 and deviation 1, where no single one dominates; in single precision."""
    mean = values.mean(0, dtype=np.float64)
    return np.asarray((values - mean.astype(values.dtype)) / deviations(values).astype(np.float32))


def _between_standards(
    weights: Float[np.ndarray, "source target"],
    x: Float[np.ndarray, "token source"],
    y: Float[np.ndarray, "token target"],
) -> LinearMap:
    """The map with these weights between standardised coordinates; means map to means."""
    raw = weights / deviations(x)[:, None] * deviations(y)
    return LinearMap(raw, y.mean(0, dtype=np.float64) - x.mean(0, dtype=np.float64) @ raw)
