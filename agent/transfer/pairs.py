"""Pairs of activations of two models on the same text, at the characters where both end a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.language_model.model import LanguageModel


def aligned(
    first: Int[np.ndarray, "token"], second: Int[np.ndarray, "other"]
) -> tuple[Int[np.ndarray, "pair"], Int[np.ndarray, "pair"]]:
    """Positions, in both, of every character at which a token of each ends.

    Where several tokens end at one character, the bytes of one letter, the last one counts.
    """
    (ends_first, last_first), (ends_second, last_second) = _last_at(first), _last_at(second)
    _, at_first, at_second = np.intersect1d(ends_first, ends_second, assume_unique=True, return_indices=True)
    return last_first[at_first], last_second[at_second]


def _last_at(ends: Int[np.ndarray, "token"]) -> tuple[Int[np.ndarray, "end"], Int[np.ndarray, "end"]]:
    """Every end once, and its last position."""
    found, from_behind = np.unique(ends[::-1], return_index=True)
    return found, len(ends) - 1 - from_behind


CHUNK = 32
"""Texts in memory at a time."""
UNREAD = 4
"""First tokens of a text that are not paired, since their activations mostly mark its beginning."""


@dataclass(frozen=True)
class Pairs:
    """Paired activations of a few texts."""

    x: Float[np.ndarray, "token layer source"]
    y: Float[np.ndarray, "token other target"]
    text: Int[np.ndarray, "token"]
    """The number of the text that each pair is from."""


def paired(first: LanguageModel, second: LanguageModel, texts: Sequence[str]) -> Iterator[Pairs]:
    """Pairs of both models' recorded layers, a chunk of texts at a time; texts without a common
    token end are skipped.

    Raises `BasinError` as `LanguageModel.token_states`.
    """
    for start in range(0, len(texts), CHUNK):
        chunk = list(texts[start : start + CHUNK])
        of_first = {each.text: each for each in first.token_states(chunk)}
        xs, ys, where = [], [], []
        for there in second.token_states(chunk):
            here = of_first[there.text]
            at_first, at_second = aligned(here.ends, there.ends)
            read = (at_first >= UNREAD) & (at_second >= UNREAD)
            xs.append(here.states[at_first[read]])
            ys.append(there.states[at_second[read]])
            where.append(np.full(int(read.sum()), start + there.text))
        if sum(map(len, xs)):
            yield Pairs(np.concatenate(xs), np.concatenate(ys), np.concatenate(where))
