"""First and second moments of paired activations, summed by chunk, for every linear map.

Memory does not grow with the tokens. Sums are taken about the mean by the pairwise update of Chan,
Golub and LeVeque (1979), since residual streams have coordinates far from zero, which would swamp
raw sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Float

from agent.errors import BasinError


@dataclass(frozen=True)
class Moments:
    """Moments of pairs (x, y); the sum of two is that of all their pairs."""

    count: int
    mean_x: Float[np.ndarray, "source"]
    mean_y: Float[np.ndarray, "target"]
    xx: Float[np.ndarray, "source source"]
    """Sum of (x - mean)(x - mean)^T over the pairs."""
    xy: Float[np.ndarray, "source target"]
    yy: Float[np.ndarray, "target target"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"]) -> Moments:
        """Moments of one chunk. Raises `BasinError` where it is empty or not finite."""
        if not len(x):
            raise BasinError("There are no aligned tokens to learn a map from; give more general text.")
        # Products in single precision, sums over chunks in double: a chunk has thousands of rows, not millions.
        mean_x, mean_y = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
        if not (np.isfinite(mean_x).all() and np.isfinite(mean_y).all()):
            raise BasinError("Some activations are not finite; load the language models in float32.")
        x, y = (x - mean_x).astype(np.float32), (y - mean_y).astype(np.float32)
        products = (x.T @ x, x.T @ y, y.T @ y)
        return cls(len(x), mean_x, mean_y, *(each.astype(np.float64) for each in products))

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        shift_x, shift_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        share, weight = other.count / count, self.count * other.count / count
        return Moments(
            count,
            self.mean_x + share * shift_x,
            self.mean_y + share * shift_y,
            self.xx + other.xx + weight * np.outer(shift_x, shift_x),
            self.xy + other.xy + weight * np.outer(shift_x, shift_y),
            self.yy + other.yy + weight * np.outer(shift_y, shift_y),
        )

    @property
    def deviations(self) -> tuple[Float[np.ndarray, "source"], Float[np.ndarray, "target"]]:
        """Standard deviation of every coordinate of x and of y; 1 for one that never varies."""
        here, there = (np.sqrt(np.diag(each) / self.count) for each in (self.xx, self.yy))
        return np.where(here > 0, here, 1.0), np.where(there > 0, there, 1.0)

    @property
    def standardised(self) -> Moments:
        """Moments of standardised coordinates, where no single coordinate dominates."""
        here, there = self.deviations
        return Moments(
            self.count,
            np.zeros_like(self.mean_x),
            np.zeros_like(self.mean_y),
            self.xx / np.outer(here, here),
            self.xy / np.outer(here, there),
            self.yy / np.outer(there, there),
        )

    @property
    def swapped(self) -> Moments:
        """Moments of (y, x), for the map back."""
        return Moments(self.count, self.mean_y, self.mean_x, self.yy, self.xy.T, self.xx)


def total(parts: Iterable[Moments]) -> Moments:
    """Moments of all parts together. Raises TypeError where there is none."""
    return reduce(Moments.__add__, parts)
