"""Which tokens of two tokenizers end at the same character: there, two models have read the same text."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def aligned(
    first: Int[np.ndarray, "token"], second: Int[np.ndarray, "other"]
) -> tuple[Int[np.ndarray, "pair"], Int[np.ndarray, "pair"]]:
    """Positions in both of every character that a token of each ends at.

    Where several tokens end at one character (the bytes of one letter), the last counts: only then is the letter read.
    """
    (ends_first, last_first), (ends_second, last_second) = _last_at(first), _last_at(second)
    _, at_first, at_second = np.intersect1d(ends_first, ends_second, assume_unique=True, return_indices=True)
    return last_first[at_first], last_second[at_second]


def _last_at(
    ends: Int[np.ndarray, "token"],
) -> tuple[Int[np.ndarray, "end"], Int[np.ndarray, "end"]]:
    """Every end once, and the last position that has it."""
    found, from_behind = np.unique(ends[::-1], return_index=True)
    return found, len(ends) - 1 - from_behind
