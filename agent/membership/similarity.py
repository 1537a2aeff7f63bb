"""Comparison of memberships and of scores: soft Jaccard, correlation, standardisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

SAME = 0.9  # soft Jaccard from which two memberships are the same concept


def soft_jaccard(first: Float[np.ndarray, "passage"], second: Float[np.ndarray, "passage"]) -> float:
    """Overlap of two fuzzy sets, sum(min) / sum(max) (Ruzicka similarity), in [0, 1].

    Two empty sets overlap fully (1.0). Raises ValueError when the lengths differ or a membership is
    not finite.
    """
    if first.shape != second.shape:
        raise ValueError(f"memberships of {len(first)} and {len(second)} passages cannot be compared")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a membership is not finite")
    return float(overlap(first, second))


def agreement(finals: Sequence[Float[np.ndarray, "document"]], own: Float[np.ndarray, "document"]) -> float:
    """The least soft Jaccard of the memberships with `own`; 1 where there are none."""
    return min((soft_jaccard(own, each) for each in finals), default=1.0)


def overlap(
    first: Float[np.ndarray, "*over document"], second: Float[np.ndarray, "*other document"]
) -> Float[np.ndarray, "*both"]:
    """`soft_jaccard` of many memberships at once, broadcast; two empty ones overlap fully."""
    smaller, larger = np.minimum(first, second).sum(axis=-1), np.maximum(first, second).sum(axis=-1)
    return np.where(larger > 0, smaller / np.where(larger > 0, larger, 1), 1.0)


def correlation(first: Float[np.ndarray, "document"], second: Float[np.ndarray, "document"]) -> float:
    """Pearson's, and 0 where one of the two is constant."""
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 and second.std() > 0 else 0.0


def standardised(
    values: Float[np.ndarray, "text"], reference: Float[np.ndarray, "reference"] | None = None
) -> Float[np.ndarray, "text"]:
    """Values less the reference's mean, over its standard deviation; the reference defaults to the
    values.

    A constant becomes zeros; other values become very large beside a constant reference.
    """
    reference = values if reference is None else reference
    return np.asarray((values - reference.mean()) / spread(reference))


def spread(values: Float[np.ndarray, "text"]) -> float:
    """Standard deviation, never zero."""
    return max(float(values.std()), 1e-12)
