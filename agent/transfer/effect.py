"""Effects of steering on the same prompts and seeds, over the native vector's effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RESAMPLED = 2000
"""Resamples of the bootstrap."""


@dataclass(frozen=True)
class Effect:
    """The shift of the readings by steering, against the base model's."""

    mean: float
    error: float
    """Standard error over passages, or over draws where several vectors were drawn."""
    ratio: float | None
    """Over the native vector's effect; None without a native vector, or where it has no effect."""
    ratio_error: float | None
    """Standard error of the ratio, by a paired bootstrap over passages or draws (Efron 1979)."""


def effect(
    steered: Float[np.ndarray, "text"],
    base: Float[np.ndarray, "text"],
    native: Float[np.ndarray, "text"] | None = None,
    *,
    draws: int = 1,
) -> Effect:
    """The effect on readings of the same prompts, in any unit; passages with NaN are left out.

    Args:
        draws: number of vectors that the passages were written with in turn. Errors are then those
            of the draws, since passages of one vector say nothing about the next.
    """
    rows = np.isfinite(steered) & np.isfinite(base)
    if native is not None:
        rows &= np.isfinite(native)
    if not rows.any():
        return Effect(float("nan"), float("nan"), None, None)
    moved = steered[rows] - base[rows]
    draw_of = np.arange(len(rows))[rows] % draws if draws > 1 else np.arange(len(moved))
    sizes = np.bincount(draw_of)
    sums, sizes = np.bincount(draw_of, moved)[sizes > 0], sizes[sizes > 0]
    count = len(sums)
    error = float((sums / sizes).std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    ratio = ratio_error = None
    if native is not None:
        theirs = native[rows] - base[rows]
        if theirs.mean() > 0:
            ratio = float(moved.mean() / theirs.mean())
            against = np.bincount(draw_of, theirs)[np.unique(draw_of)]
            picked = np.random.default_rng(0).integers(0, count, (RESAMPLED, count))
            below = against[picked].sum(1)
            ratios = sums[picked].sum(1)[below > 0] / below[below > 0]
            ratio_error = float(np.subtract(*np.quantile(ratios, (0.84, 0.16))) / 2)
    return Effect(float(moved.mean()), error, ratio, ratio_error)


def on_members_scale(
    readings: Float[np.ndarray, "text"], members: float, others: float
) -> Float[np.ndarray, "text"]:
    """Readings scaled to 0 at the mean of real others and 1 at that of real members."""
    gap = members - others
    return (readings - others) / (gap if gap > 0 else np.nan)
