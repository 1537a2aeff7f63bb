"""How far trust in the pointer may fall, and at which size: decided on real texts, without labels.

Trust falls level by level from 1. At each level the concept settles, and so do restarts with other
folds. Trust stops above the first level at which one of three signs is lost:

- the restarts agree with the concept nearly as well as under full trust;
- kicked, the concept comes back;
- held-out scores know the pointer nearly as well as under full trust.

The last sign fails first where a small corpus flows away from its pointer to a larger contrast. A
real concept loses its pointer's errors, and so hardly any of its correlation with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from jaxtyping import Float

from agent.clustering.config import ClusteringConfig
from agent.clustering.round_map import RoundMap
from agent.membership.similarity import SAME, agreement, correlation, soft_jaccard
from agent.progress import advance
from agent.types import seed_for

LEVELS = tuple(level / 10 for level in range(10, -1, -1))
ROUNDS = 8  # rounds at most in which a level settles
KICKS, KICK = 3, 0.2
SIZES = tuple(round(0.04 * 1.18**step, 3) for step in range(16))
ALIKE = 0.1  # instabilities that differ by less are not told apart


@dataclass(frozen=True)
class Level:
    """A level of trust with its three signs."""

    trust: float
    restarts: float
    """Mean soft Jaccard of the concept with restarts."""
    kicks: float
    """Least soft Jaccard of the concept with itself after a kick."""
    pointer: float
    """Correlation of held-out scores with the pointer over documents, mean over the restarts."""

    def lost(self, first: Level) -> str | None:
        """The first sign that is lost compared with full trust, as a clause."""
        if self.restarts < SAME * first.restarts:
            return f"other folds give another concept (overlap {self.restarts:.2f}, {first.restarts:.2f} at trust 1)"
        if self.kicks < SAME:
            return f"kicked, it would not come back (overlap {self.kicks:.2f})"
        if self.pointer < SAME * first.pointer:
            return (
                f"it would leave its pointer (correlation {self.pointer:.2f}, {first.pointer:.2f} at trust 1)"
            )
        return None


@dataclass(frozen=True)
class Descent:
    """Trust as far down as it may fall, at one size."""

    least: float
    levels: tuple[Level, ...]
    """All that were tried; the last one failed unless trust is gone."""
    states: tuple[Float[np.ndarray, "document"], ...]
    """The memberships at `least`: the run's, then those of the restarts."""

    @property
    def stopped(self) -> str | None:
        """Why trust falls no further, as a clause; None where it is gone."""
        return self.levels[-1].lost(self.levels[0]) if self.least > 0 else None


@dataclass(frozen=True)
class StableSize:
    """The sizes at which the map is most stable, and their middle."""

    size: float
    low: float
    high: float


def size_and_trust(
    maps: Sequence[RoundMap], pointer: Float[np.ndarray, "document"], config: ClusteringConfig, seed: int
) -> tuple[float, StableSize | None, Descent | None]:
    """The concept's size; where the map is most stable, if asked for; and how far trust falls.

    The size is the most stable one where the concept stands there without its pointer, else the
    pointer's claim, which is that of `maps`. A concept that stands at the claim, too, has the stable
    size next to it: a firmer one far away is another concept, as all sport is around hockey.
    """
    claimed, found = maps[0].size, None
    descent = descend(maps, pointer, seed) if config.trust == "earned" else None
    if config.size == "stable":
        alone = descent is not None and descent.least == 0
        levels = LEVELS if descent else LEVELS[:1]
        found = stable_size(maps, pointer, levels, seed, claimed if alone else None)
    if found is None or descent is None:
        return found.size if found else claimed, found, descent
    stable = descend(of_size(maps, found.size), pointer, seed)
    return (found.size, found, stable) if stable.least == 0 else (claimed, found, descent)


def descend(
    maps: Sequence[RoundMap],
    pointer: Float[np.ndarray, "document"],
    seed: int,
    levels: Sequence[float] = LEVELS,
) -> Descent:
    """Lower trust as far as the three signs allow.

    Args:
        maps: the run's map, then those of other folds.
        levels: of trust, falling.
    """
    states = [each.membership(pointer) for each in maps]
    tried: list[Level] = []
    least, reached = levels[0], states
    for trust in levels:
        states = [
            each.settled(state, ROUNDS, pointer, trust, still=1e-3)
            for each, state in zip(maps, states, strict=True)
        ]
        tried.append(_level(maps, states, pointer, trust, seed))
        if tried[-1].lost(tried[0]):
            break
        least, reached = trust, states
    return Descent(least, tuple(tried), tuple(reached))


def stable_size(
    maps: Sequence[RoundMap],
    pointer: Float[np.ndarray, "document"],
    levels: Sequence[float],
    seed: int,
    near: float | None = None,
) -> StableSize | None:
    """The size at which the map contracts hardest and restarts agree, where trust has stopped.

    Trust falls through `levels` as far as each size allows. Instability is the map's leading
    eigenvalue, mean over the restarts, plus the share in which they disagree. The interval is that
    of `stable_run`; the size is its middle. None if kicks do not come back at any size.
    """
    curve = []
    for number, size in enumerate(SIZES, 1):
        sized = of_size(maps, size)
        found = descend(sized, pointer, seed, levels)
        if found.levels[0].lost(found.levels[0]) is None:
            grown = [
                each.eigenvalue(state, seed, pointer, found.least)
                for each, state in zip(sized, found.states, strict=True)
            ]
            agreed = np.mean([soft_jaccard(found.states[0], each) for each in found.states[1:]])
            curve.append((size, float(np.mean(grown) + 1 - agreed)))
        else:
            curve.append((size, np.inf))
        advance("find the size", number, len(SIZES), "sizes")
    if not np.isfinite([value for _, value in curve]).any():
        return None
    low, high = stable_run(curve, near)
    return StableSize(float(np.sqrt(low * high)), low, high)


def of_size(maps: Sequence[RoundMap], size: float) -> list[RoundMap]:
    """The same maps of concepts of another size."""
    return [replace(each, size=size) for each in maps]


def stable_run(curve: Sequence[tuple[float, float]], near: float | None) -> tuple[float, float]:
    """First and last size of the longest run whose values are within `ALIKE` of the least; or, with
    `near`, of the run around the first minimum on the way down from there."""
    sizes, values = np.array(curve).T
    lowest, last = int(values.argmin()), -1
    if near is not None:
        lowest = int(np.where(np.isfinite(values), np.abs(np.log(sizes / near)), np.inf).argmin())
    while lowest != last:
        last, first = lowest, max(lowest - 1, 0)
        lowest = first + int(values[first : lowest + 2].argmin())
    grouped = groupby(curve, lambda point: point[1] < values[lowest] + ALIKE)
    runs = [[size for size, _ in run] for low, run in grouped if low]
    longest = max((run for run in runs if near is None or sizes[lowest] in run), key=len)
    return longest[0], longest[-1]


def _level(
    maps: Sequence[RoundMap],
    states: Sequence[Float[np.ndarray, "document"]],
    pointer: Float[np.ndarray, "document"],
    trust: float,
    seed: int,
) -> Level:
    own, others = states[0], states[1:]
    kicks = [
        maps[0].kicked(own, KICK, ROUNDS, seed_for(seed, number, "kick"), pointer=pointer, trust=trust)
        for number in range(KICKS)
    ]
    known = [correlation(each.scores(state), pointer) for each, state in zip(maps, states, strict=True)]
    return Level(
        trust=trust,
        restarts=float(np.mean([soft_jaccard(own, each) for each in others])),
        kicks=agreement(kicks, own),
        pointer=float(np.mean(known)),
    )
