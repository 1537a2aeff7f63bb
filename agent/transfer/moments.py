"""First and second moments of paired activations, added up chunk by chunk: all that a linear map is solved from.

A million tokens or a billion take the memory of a few matrices. Sums are kept about the mean, by the pairwise update
of Chan, Golub and LeVeque (1979): residual streams have a few coordinates far from zero, and raw sums would lose the rest.
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
    """Of pairs (x, y); `Moments.of(a, b) + Moments.of(c, d)` is that of all four."""

    count: int
    mean_x: Float[np.ndarray, "source"]
    mean_y: Float[np.ndarray, "target"]
    xx: Float[np.ndarray, "source source"]
    """Sum of (x - mean)(x - mean)^T over the pairs."""
    xy: Float[np.ndarray, "source target"]
    yy: Float[np.ndarray, "target target"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "token source"], y: Float[np.ndarray, "token target"]) -> Moments:
        """Of one chunk. Raises `BasinError` where it is empty or not finite."""
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
        found = [np.sqrt(np.diag(each) / self.count) for each in (self.xx, self.yy)]
        return tuple(np.where(each > 0, each, 1.0) for each in found)

    @property
    def standardised(self) -> Moments:
        """Of the coordinates less their means, over their deviations.

        A residual stream has a few coordinates a thousand times as large as the rest; unscaled, they are all that counts.
        """
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
        """Of (y, x): for the map the other way."""
        return Moments(self.count, self.mean_y, self.mean_x, self.yy, self.xy.T, self.xx)


def total(parts: Iterable[Moments]) -> Moments:
    """Of all parts together. Raises TypeError where there is none."""
    return reduce(Moments.__add__, parts)
