"""General text read by both models, added up for the maps: bounded memory, however much text there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.transfer.moments import Moments
from agent.transfer.pairs import Pairs

UNSEEN = 0
"""The part of the text that no map is fitted on."""
FORWARD, BACK = 1, 0
"""Ways: maps from the first model to the second are fitted on the odd parts, those back on the other even ones."""


@dataclass(frozen=True)
class Gathered:
    """One pair of layers: moments by part of the text, and a sample of the pairs themselves."""

    moments: Sequence[Moments]
    """By part; the first is `UNSEEN`."""
    shuffled: Sequence[Mapping[int, Moments]]
    """By part, of those that maps forward are fitted on, several times over: every x paired with the y of a token of another
    document, what a map finds where there is nothing to find. Other tokens of the same text would not do: what the text is
    about is what they have in common."""
    x: Float[np.ndarray, "token source"]
    y: Float[np.ndarray, "token target"]
    part: Int[np.ndarray, "token"]
    """Of the sample, which part of the text each pair is of."""

    @property
    def tokens(self) -> int:
        """Pairs in all, those of the unseen part with them."""
        return sum(each.count for each in self.moments)

    def seen(self, way: int) -> list[int]:
        """Parts for the maps of one way, `FORWARD` or `BACK`; the two share no text."""
        return seen(way, len(self.moments))

    def spreads(self) -> tuple[float, float]:
        """Root of the summed variances of x and of y, on the unseen part."""
        unseen = self.moments[UNSEEN]
        return tuple(float(np.sqrt(np.trace(each) / unseen.count)) for each in (unseen.xx, unseen.yy))


def gather(
    stream: Iterable[Pairs],
    columns: Sequence[tuple[int, int]],
    part_of: Int[np.ndarray, "text"],
    sample: int,
    seed: int,
    shuffles: int = 1,
) -> list[Gathered]:
    """Add up the pairs of every pair of layers.

    Args:
        columns: for every pair of layers, where they are among the recorded layers of both models.
        part_of: the part of every text; whole documents have to be in one part.
        sample: pairs that are kept themselves, those of the first texts.
        shuffles: how many times the pairs are dealt out anew.

    Raises:
        BasinError: a part got no pairs.
    """
    parts = int(part_of.max()) + 1
    generator = np.random.default_rng(seed)
    true: list[list[Moments | None]] = [[None] * parts for _ in columns]
    shuffled: list[list[dict[int, Moments]]] = [[{} for _ in range(shuffles)] for _ in columns]
    forward = seen(FORWARD, parts)
    kept: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in columns]
    read = 0
    for pairs in stream:
        part = part_of[pairs.text]
        room = max(0, sample - read)
        for at, (here, there) in enumerate(columns):
            x, y = pairs.x[:, here], pairs.y[:, there]
            for number in np.unique(part).tolist():
                rows = np.flatnonzero(part == number)
                true[at][number] = _added(true[at][number], Moments.of(x[rows], y[rows]))
                strange = np.flatnonzero(part != number)
                for deal in shuffled[at]:
                    dealt = generator.choice(strange if len(strange) else rows, len(rows))
                    if number in forward:
                        deal[number] = _added(deal.get(number), Moments.of(x[rows], y[dealt]))
            if room:
                kept[at].append((x[:room].copy(), y[:room].copy(), part[:room]))
        read += len(part)
    if any(each is None for moments in true for each in moments) or not true:
        raise BasinError("Some part of the general text has no aligned tokens; give more general text.")
    return [
        Gathered(moments, dealt, *(np.concatenate(each) for each in zip(*sampled, strict=True)))
        for moments, dealt, sampled in zip(true, shuffled, kept, strict=True)
    ]


def seen(way: int, parts: int) -> list[int]:
    """Which of so many parts the maps of one way are fitted on."""
    return [part for part in range(1, parts) if part % 2 == way]


def _added(sum_so_far: Moments | None, moments: Moments) -> Moments:
    return moments if sum_so_far is None else sum_so_far + moments
