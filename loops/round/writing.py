"""First words of real passages: the only prompts that a concept is written from, since they never name it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def openings(texts: Sequence[str], count: int, words: int, seed: int) -> list[str]:
    """The first `words` words of `count` passages of every kind, without replacement while they last."""
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    while len(chosen) < count:
        chosen += generator.permutation(len(texts))[: count - len(chosen)].tolist()
    return [" ".join(texts[index].split()[:words]) for index in chosen]
