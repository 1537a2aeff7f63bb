"""Paired activations of two models on the same text: tokens that end at the same character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.progress import advance

CHUNK = 32
"""Texts that both models read at a time."""
UNREAD = 4
"""First tokens of a text that are not paired, since their activations mostly mark its beginning."""


@dataclass(frozen=True)
class Pairs:
    """Paired activations at the recorded layers of both models."""

    x: Float[np.ndarray, "token layer source"]
    y: Float[np.ndarray, "token other target"]
    text: Int[np.ndarray, "token"]
    """The number of the text that each pair is from."""


def read_pairs(first: LanguageModel, second: LanguageModel, texts: Sequence[str]) -> Pairs:
    """Both models' activations at every common token end; texts without one are left out.

    Raises `BasinError` where no text has one, and as `LanguageModel.token_states`.
    """
    xs, ys, numbers = [], [], []
    for start in range(0, len(texts), CHUNK):
        chunk = list(texts[start : start + CHUNK])
        of_first = {each.text: each for each in first.token_states(chunk)}
        for there in second.token_states(chunk):
            here = of_first[there.text]
            at_first, at_second = aligned(here.ends, there.ends)
            read = (at_first >= UNREAD) & (at_second >= UNREAD)
            xs.append(here.states[at_first[read]])
            ys.append(there.states[at_second[read]])
            numbers.append(np.full(int(read.sum()), start + there.text))
        advance("stitch", start + len(chunk), len(texts), "passages")
    if not sum(map(len, numbers)):
        raise BasinError(
            "The two tokenizers never end a token together on the general text; give other text."
        )
    return Pairs(np.concatenate(xs), np.concatenate(ys), np.concatenate(numbers))


def aligned(
    first: Int[np.ndarray, "token"], second: Int[np.ndarray, "other"]
) -> tuple[Int[np.ndarray, "pair"], Int[np.ndarray, "pair"]]:
    """Positions, in both, of every character at which a token of each ends.

    Where several tokens end at one character, the bytes of one letter, the last one counts.
    """
    both = np.intersect1d(first, second)
    return np.searchsorted(first, both, side="right") - 1, np.searchsorted(second, both, side="right") - 1
