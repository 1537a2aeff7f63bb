"""A linear map between two models' residual streams, and how well it does on texts it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from agent.stitching.moments import Moments


@dataclass(frozen=True)
class LinearMap:
    """y = x W + b."""

    weights: Float[np.ndarray, "source target"]
    bias: Float[np.ndarray, "target"]

    @classmethod
    def between_standards(cls, weights: Float[np.ndarray, "source target"], moments: Moments) -> LinearMap:
        """The map whose weights are those of standardised coordinates; it sends the mean of x to the mean of y."""
        here, there = moments.deviations
        raw = weights / here[:, None] * there
        return cls(raw, moments.mean_y - moments.mean_x @ raw)

    def apply(self, x: Float[np.ndarray, "token source"]) -> Float[np.ndarray, "token target"]:
        return x @ self.weights + self.bias

    def direction(self, vector: Float[np.ndarray, "source"]) -> Float[np.ndarray, "target"]:
        """Where a difference of activations goes: no bias."""
        return vector @ self.weights

    def unexplained(self, held_out: Moments) -> float:
        """Unexplained variance: of every coordinate of y squared error over variance, and the mean of these.

        1 for the mean of y alone, above 1 where the map does harm; exact from moments. In the mean every coordinate counts
        alike: in Gemma 3 one of 640 has half of the stream's variance, and would speak for all.
        """
        offset = held_out.mean_x @ self.weights + self.bias - held_out.mean_y
        explained = np.einsum("st,st->t", self.weights, 2 * held_out.xy - held_out.xx @ self.weights)
        variance = np.diag(held_out.yy)
        errors = variance - explained + held_out.count * offset**2
        return float((errors[variance > 0] / variance[variance > 0]).mean())
