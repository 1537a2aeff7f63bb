"""Paired activations of two models on the same text, and their moments by layers and by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.transfer.moments import Moments

CHUNK = 32
"""Texts in memory at a time."""
UNREAD = 4
"""First tokens of a text that are not paired, since their activations mostly mark its beginning."""
UNSEEN = 0
"""The part of the text that no map is fitted on."""
FORWARD, BACK = 1, 0
"""Ways: maps forward are fitted on odd parts, maps back on the other even ones."""


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


@dataclass(frozen=True)
class Gathered:
    """Moments of one pair of layers, by part of the text."""

    moments: Sequence[Moments]
    """By part; the first is `UNSEEN`."""
    shuffled: Sequence[Mapping[int, Moments]]
    """By part, for several shuffles: every x paired with the y of a token of another document.
    Tokens of the same text share a subject, so they would not do."""

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


def gather(
    stream: Iterable[Pairs],
    columns: Sequence[tuple[int, int]],
    part_of: Int[np.ndarray, "text"],
    *,
    seed: int,
    shuffles: int = 1,
) -> list[Gathered]:
    """Sum the moments of every pair of layers.

    Args:
        columns: positions of every pair of layers among the recorded layers of both models.
        part_of: the part of every text; every document is in one part.

    Raises:
        BasinError: a part has no pairs.
    """
    parts = int(part_of.max()) + 1
    generator, forward = np.random.default_rng(seed), seen(FORWARD, parts)
    true: list[dict[int, Moments]] = [{} for _ in columns]
    shuffled: list[list[dict[int, Moments]]] = [[{} for _ in range(shuffles)] for _ in columns]
    for pairs in stream:
        part = part_of[pairs.text]
        for of_pair, draws, (here, there) in zip(true, shuffled, columns, strict=True):
            x, y = pairs.x[:, here], pairs.y[:, there]
            for number in np.unique(part).tolist():
                rows, others = np.flatnonzero(part == number), np.flatnonzero(part != number)
                _add(of_pair, number, Moments.of(x[rows], y[rows]))
                for draw in draws:
                    dealt = generator.choice(others if len(others) else rows, len(rows))
                    if number in forward:
                        _add(draw, number, Moments.of(x[rows], y[dealt]))
    if not true or any(len(each) < parts for each in true):
        raise BasinError("Some part of the general text has no aligned tokens; give more general text.")
    return [
        Gathered([of_pair[number] for number in range(parts)], draws)
        for of_pair, draws in zip(true, shuffled, strict=True)
    ]


def seen(way: int, parts: int) -> list[int]:
    """The parts, out of so many, that the maps of one way are fitted on."""
    return [part for part in range(1, parts) if part % 2 == way]


def _add(sums: dict[int, Moments], part: int, moments: Moments) -> None:
    sums[part] = sums[part] + moments if part in sums else moments
