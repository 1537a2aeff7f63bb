"""Affine maps by ridge regression, of full and of low rank, their strength and rank chosen on parts left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from agent.errors import BasinError
from agent.stitching.linear import LinearMap
from agent.stitching.moments import Moments, total

STRENGTHS = tuple(10.0**power for power in range(-6, 2))
"""Ridge penalties tried, in units of the variance of a coordinate of x."""


@dataclass(frozen=True)
class Affine:
    """Ridge regression (Hoerl and Kennard 1970) between standardised coordinates."""

    strengths: Sequence[float] = STRENGTHS

    def fit(self, parts: Sequence[Moments]) -> LinearMap:
        """Fitted on all parts, at the strength that does best on each when it is left out; raises as `choose_strength`."""
        return self.solve(total(parts), self.choose_strength(parts))

    def solve(self, moments: Moments, strength: float) -> LinearMap:
        """The map at a strength that is known."""
        return LinearMap.between_standards(_Solved.of(moments).weights(strength), moments)

    def choose_strength(self, parts: Sequence[Moments]) -> float:
        """The strength of the least squared error over the parts, each held out in its turn.

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
class LowRank:
    """Reduced-rank regression (Izenman 1975): the ridge map followed by the projection on what it predicts most of."""

    ranks: Sequence[int] = (4, 8, 16, 32, 64, 128, 256)

    def fit(self, parts: Sequence[Moments]) -> LinearMap:
        """Fitted on all parts, at the rank that does best on each when it is left out; raises as `Affine.fit`."""
        strength = Affine().choose_strength(parts)
        everything = total(parts)
        weights, axes = _axes(everything, strength)
        kept = axes[:, : self.choose_rank(parts, strength)]
        return LinearMap.between_standards(weights @ kept @ kept.T, everything)

    def choose_rank(self, parts: Sequence[Moments], strength: float) -> int:
        """The smallest rank within a hundredth of the least error over the parts, each held out in its turn."""
        full = min(parts[0].xy.shape)
        ranks = [*(rank for rank in self.ranks if rank < full), full]
        errors = np.zeros(len(ranks))
        for seen, left_out in _divisions(parts):
            weights, axes = _axes(seen, strength)
            errors += [
                LinearMap.between_standards(weights @ axes[:, :rank] @ axes[:, :rank].T, seen).unexplained(
                    left_out
                )
                for rank in ranks
            ]
        return ranks[int(np.flatnonzero(errors <= 1.01 * errors.min())[0])]


@dataclass(frozen=True)
class _Solved:
    """Normal equations of standardised coordinates in their eigenbasis: a ridge of every strength costs two products."""

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


def _axes(
    seen: Moments, strength: float
) -> tuple[Float[np.ndarray, "source target"], Float[np.ndarray, "target target"]]:
    """The ridge's weights, and the principal axes of what it predicts on the texts it was fitted on, the largest first."""
    weights = _Solved.of(seen).weights(strength)
    return weights, eigh(weights.T @ seen.standardised.xx @ weights)[1][:, ::-1]


def _divisions(parts: Sequence[Moments]) -> list[tuple[Moments, Moments]]:
    if len(parts) < 2:
        raise BasinError(
            "A map's strength needs text of several documents to be chosen on; give more general text."
        )
    return [(total([*parts[:at], *parts[at + 1 :]]), parts[at]) for at in range(len(parts))]
