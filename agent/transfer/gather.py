"""Moments of paired activations by layers and by part of the text, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.transfer.moments import Moments
from agent.transfer.pairs import Pairs

UNSEEN = 0
"""The part of the text that no map is fitted on."""
FORWARD, BACK = 1, 0
"""Ways: maps forward are fitted on odd parts, maps back on the other even ones."""


@dataclass(frozen=True)
class Gathered:
    """One pair of layers: moments by part of the text, and a sample of the pairs themselves."""

    moments: Sequence[Moments]
    """By part; the first is `UNSEEN`."""
    shuffled: Sequence[Mapping[int, Moments]]
    """By part, for several shuffles: every x paired with the y of a token of another document.
    Tokens of the same text share a subject, so they would not do."""
    x: Float[np.ndarray, "token source"]
    y: Float[np.ndarray, "token target"]
    part: Int[np.ndarray, "token"]
    """The part of the text that each pair of the sample is from."""

    @property
    def tokens(self) -> int:
        """Number of pairs, with those of the unseen part."""
        return sum(each.count for each in self.moments)

    def seen(self, way: int) -> list[int]:
        """Parts for the maps of one way, `FORWARD` or `BACK`; the two share no text."""
        return seen(way, len(self.moments))

    def spreads(self) -> tuple[float, float]:
        """Root of the summed variances of x and of y, on the unseen part."""
        unseen = self.moments[UNSEEN]
        x, y = (float(np.sqrt(np.trace(each) / unseen.count)) for each in (unseen.xx, unseen.yy))
        return x, y


@dataclass
class _Sums:
    """One pair of layers, while text is read."""

    shuffled: list[dict[int, Moments]]
    moments: dict[int, Moments] = field(default_factory=dict)
    sample: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)


def gather(
    stream: Iterable[Pairs],
    columns: Sequence[tuple[int, int]],
    part_of: Int[np.ndarray, "text"],
    *,
    sample: int,
    seed: int,
    shuffles: int = 1,
) -> list[Gathered]:
    """Sum the moments of every pair of layers.

    Args:
        columns: positions of every pair of layers among the recorded layers of both models.
        part_of: the part of every text; every document is in one part.
        sample: number of pairs that are stored themselves, those of the first texts.

    Raises:
        BasinError: a part has no pairs.
    """
    parts = int(part_of.max()) + 1
    generator, forward, read = np.random.default_rng(seed), seen(FORWARD, parts), 0
    sums = [_Sums([{} for _ in range(shuffles)]) for _ in columns]
    for pairs in stream:
        part, room = part_of[pairs.text], max(0, sample - read)
        for each, (here, there) in zip(sums, columns, strict=True):
            x, y = pairs.x[:, here], pairs.y[:, there]
            for number in np.unique(part).tolist():
                rows, others = np.flatnonzero(part == number), np.flatnonzero(part != number)
                _add(each.moments, number, Moments.of(x[rows], y[rows]))
                for shuffled in each.shuffled:
                    dealt = generator.choice(others if len(others) else rows, len(rows))
                    if number in forward:
                        _add(shuffled, number, Moments.of(x[rows], y[dealt]))
            if room:
                each.sample.append((x[:room].copy(), y[:room].copy(), part[:room]))
        read += len(part)
    if not sums or any(len(each.moments) < parts for each in sums):
        raise BasinError("Some part of the general text has no aligned tokens; give more general text.")
    return [
        Gathered(
            [each.moments[number] for number in range(parts)],
            each.shuffled,
            *(np.concatenate(column) for column in zip(*each.sample, strict=True)),
        )
        for each in sums
    ]


def seen(way: int, parts: int) -> list[int]:
    """The parts, out of so many, that the maps of one way are fitted on."""
    return [part for part in range(1, parts) if part % 2 == way]


def _add(sums: dict[int, Moments], part: int, moments: Moments) -> None:
    sums[part] = sums[part] + moments if part in sums else moments
