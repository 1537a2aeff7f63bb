"""Does a translated vector do what a native one does? Effects on the same prompts with the same dice, and their ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS = 2000
"""Of the bootstrap over passages."""


@dataclass(frozen=True)
class Effect:
    """How far steering moved what was written, against the base model on the same prompts and seeds."""

    mean: float
    error: float
    """Standard error over passages."""
    ratio: float | None
    """Over the native vector's effect; None where there is none to compare with, or the native one has no effect."""
    ratio_error: float | None
    """Standard error of the ratio, by a bootstrap over passages (Efron 1979) that keeps the pairs together."""
    helped: float
    """Share of passages that it moved the right way: a mean hides those that steering hurts."""


def effect(
    steered: Float[np.ndarray, "text"],
    base: Float[np.ndarray, "text"],
    native: Float[np.ndarray, "text"] | None = None,
    seed: int = 0,
) -> Effect:
    """Of readings of the same prompts, in any unit. Passages that one of the readings lacks (NaN) are left out."""
    rows = np.isfinite(steered) & np.isfinite(base)
    if native is not None:
        rows &= np.isfinite(native)
    if not rows.any():
        return Effect(float("nan"), float("nan"), None, None, float("nan"))
    moved = steered[rows] - base[rows]
    count = len(moved)
    error = float(moved.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    ratio = ratio_error = None
    if native is not None:
        theirs = native[rows] - base[rows]
        if theirs.mean() > 0:
            ratio = float(moved.mean() / theirs.mean())
            draws = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
            below = theirs[draws].mean(1)
            ratios = moved[draws].mean(1)[below > 0] / below[below > 0]
            ratio_error = float(np.subtract(*np.quantile(ratios, (0.84, 0.16))) / 2)
    return Effect(float(moved.mean()), error, ratio, ratio_error, float((moved > 0).mean()))


def on_members_scale(
    readings: Float[np.ndarray, "text"], members: float, others: float
) -> Float[np.ndarray, "text"]:
    """Readings with 0 at the mean of real passages outside and 1 at that of real members; NaN where these coincide."""
    gap = members - others
    return (readings - others) / (gap if gap > 0 else np.nan)
