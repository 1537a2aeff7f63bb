"""Linear maps between two models' residual streams, and their error on unseen text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from agent.errors import BasinError
from agent.transfer.moments import Moments, total


@dataclass(frozen=True)
class LinearMap:
    """y = x W + b."""

    weights: Float[np.ndarray, "source target"]
    bias: Float[np.ndarray, "target"]

    @classmethod
    def between_standards(cls, weights: Float[np.ndarray, "source target"], moments: Moments) -> LinearMap:
        """The map with these weights between standardised coordinates; means map to means."""
        here, there = moments.deviations
        raw = weights / here[:, None] * there
        return cls(raw, moments.mean_y - moments.mean_x @ raw)

    def direction(self, vector: Float[np.ndarray, "source"]) -> Float[np.ndarray, "target"]:
        """The image of a difference of activations, without bias."""
        return np.asarray(vector @ self.weights)

    def unexplained(self, held_out: Moments) -> float:
        """Unexplained variance: squared error over variance, averaged over the coordinates of y;
        exact from moments.

        1 for the mean of y alone, above 1 where the map does harm. Every coordinate has the same
        weight, since one of Gemma 3's 640 holds half of the stream's variance.
        """
        offset = held_out.mean_x @ self.weights + self.bias - held_out.mean_y
        explained = np.einsum("st,st->t", self.weights, 2 * held_out.xy - held_out.xx @ self.weights)
        variance = np.diag(held_out.yy)
        errors = variance - explained + held_out.count * offset**2
        return float((errors[variance > 0] / variance[variance > 0]).mean())


STRENGTHS = tuple(10.0**power for power in range(-6, 2))
"""Ridge penalties tried, in units of the variance of a coordinate of x."""


@dataclass(frozen=True)
class Affine:
    """Ridge regression (Hoerl and Kennard 1970) between standardised coordinates."""

    strengths: Sequence[float] = STRENGTHS

    def fit(self, parts: Sequence[Moments]) -> LinearMap:
        """Fitted on all parts, at the cross-validated strength; raises as `choose_strength`."""
        return self.solve(total(parts), self.choose_strength(parts))

    def solve(self, moments: Moments, strength: float) -> LinearMap:
        """The map at a known strength."""
        return LinearMap.between_standards(_Solved.of(moments).weights(strength), moments)

    def choose_strength(self, parts: Sequence[Moments]) -> float:
        """The strength of the least error over the parts, each held out in turn.

        Raises `BasinError` for fewer than two parts.
        """
        errors = np.zeros(len(self.strengths))
        for seen, left_out in _divisions(parts):
            solved = _Solved.of(seen)
            errors += [
                LinearMap.between_standards(solved.weights(strength), seen).unexplained(left_out)
                for strength in self.strengths
            ]
        return float(self.strengths[int(errors.argmin())])


@dataclass(frozen=True)
class _Solved:
    """Normal equations of standardised coordinates in their eigenbasis."""

    values: Float[np.ndarray, "feature"]
    axes: Float[np.ndarray, "source feature"]
    projected: Float[np.ndarray, "feature target"]

    @classmethod
    def of(cls, moments: Moments) -> _Solved:
        standard = moments.standardised
        values, axes = eigh(standard.xx / standard.count)
        return cls(np.maximum(values, 0), axes, axes.T @ (standard.xy / standard.count))

    def weights(self, strength: float) -> Float[np.ndarray, "source target"]:
        return self.axes @ (self.projected / (self.values + strength)[:, None])


def _divisions(parts: Sequence[Moments]) -> list[tuple[Moments, Moments]]:
    if len(parts) < 2:
        raise BasinError(
            "A map's strength needs text of several documents to be chosen on; give more general text."
        )
    return [(total([*parts[:at], *parts[at + 1 :]]), parts[at]) for at in range(len(parts))]


@dataclass(frozen=True)
class Procrustes:
    """Orthogonal Procrustes with one common scale (Schoenemann 1966)."""

    def fit(self, parts: Sequence[Moments]) -> LinearMap:
        """W = s U V^T with U S V^T = X^T Y and s = tr(S) / tr(U U^T X^T X)."""
        everything = total(parts)
        moments = everything.standardised
        left, values, right = np.linalg.svd(moments.xy, full_matrices=False)
        rotation = left @ right
        scale = values.sum() / max(float(np.einsum("st,su,ut->", rotation, moments.xx, rotation)), 1e-12)
        return LinearMap.between_standards(scale * rotation, everything)
