"""Precision, recall and size of a concept, from a user's answers to a stratified sample of passages.

The answers are the user's own and no gold labels. Passages form four groups: members and others, each
undisputed or disputed. Inside a group all passages are equally likely to be asked. So a group's share of
yes, times its size, is unbiased (Horvitz and Thompson 1952). A skipped passage counts as not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

LEAST = 2
"""Questions about each group before any gets more."""
SPREAD = (0.3, 0.5)
"""Guessed standard deviation of the answers in an undisputed and in a disputed group."""
ENDS = (0.05, 0.95)
DRAWS = 4000
HALF = 0.5
"""Precision or recall from which the concept is the user's."""


@dataclass(frozen=True)
class Estimate:
    """A share with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimates:
    """What the answers say of the concept."""

    answers: int
    """Without the skipped ones."""
    precision: Estimate
    """Share of the members that are the user's."""
    recall: Estimate | None
    """Share of the user's passages that are members; None without a yes."""
    size: Estimate
    """Share of the corpus that is the user's."""

    @property
    def verdict(self) -> str:
        """Whether the concept is the user's, in one sentence."""
        recall = self.recall or Estimate(0, 0, 0)
        if self.precision.low < HALF <= self.precision.high:
            return "Undecided: more answers are needed to tell whether it is your concept."
        if self.precision.low >= HALF:
            if recall.high < HALF:
                return "It is a part of your concept: it misses more than half."
            return "It is your concept: most of what it claims is yours."
        which = "wider than" if recall.low >= HALF else "not"
        return f"It is {which} your concept: most of what it claims is not yours."


def question_groups(
    inside: Bool[np.ndarray, "passage"], *witnesses: Bool[np.ndarray, "passage"]
) -> Int[np.ndarray, "passage"]:
    """0 and 1: others, undisputed and disputed by a witness; 2 and 3: members likewise."""
    disputed = np.any([each != inside for each in witnesses], axis=0)
    return np.asarray(2 * inside + disputed, dtype=np.int64)


def question_order(group: Int[np.ndarray, "passage"], count: int, seed: int) -> Int[np.ndarray, "asked"]:
    """The first `count` passages to ask about; a longer order begins with a shorter one.

    Half of the questions are about members. Within a half, groups share them by size and spread, by
    Sainte-Laguë's method.
    """
    kinds, sizes = np.unique(group, return_counts=True)
    generator = np.random.default_rng(seed)
    waiting = [generator.permutation(np.flatnonzero(group == kind)) for kind in kinds]
    wanted = sizes * np.array(SPREAD)[kinds % 2]
    for half in (kinds < 2, kinds >= 2):
        wanted[half] /= wanted[half].sum()
    asked, order = np.zeros(len(kinds), dtype=np.int64), []
    for _ in range(min(count, len(group))):
        claim = wanted / (asked + 0.5) + 1e6 * np.maximum(LEAST - asked, 0)
        chosen = int(np.where(asked < sizes, claim, -1).argmax())
        order.append(waiting[chosen][asked[chosen]])
        asked[chosen] += 1
    return np.array(order, dtype=np.int64)


def estimate(group: Int[np.ndarray, "passage"], answers: Mapping[int, bool]) -> Estimates | None:
    """Estimates from answers by passage; None while a group has no answer.

    Intervals come from draws of each group's share. Their ends lie between those of Jeffreys and those of
    Clopper and Pearson, as the first alone cover too little with a dozen answers.
    """
    kinds, sizes = np.unique(group, return_counts=True)
    of, said = group[list(answers)], np.array(list(answers.values()), dtype=bool)
    count = np.array([(of == kind).sum() for kind in kinds])
    yes = np.array([said[of == kind].sum() for kind in kinds])
    if not count.all():
        return None
    generator, rest, members = np.random.default_rng(0), sizes - count, kinds >= 2
    drawn = (DRAWS, len(kinds))
    lowest = np.where(yes, generator.beta(yes + 0.25, count - yes + 0.75, drawn), 0)
    highest = np.where(yes < count, generator.beta(yes + 0.75, count - yes + 0.25, drawn), 1)
    least, most = (yes + generator.binomial(rest, rates) for rates in (lowest, highest))
    own, missed = (
        (least[:, half].sum(1), most[:, half].sum(1), (sizes * yes / count)[half].sum())
        for half in (members, ~members)
    )
    found = [inner + outer for inner, outer in zip(own, missed, strict=True)]
    others = (missed[1], missed[0], missed[2])  # recall is low where many are missed
    known = [inner / np.maximum(inner + outer, 1) for inner, outer in zip(own, others, strict=True)]
    precision = _spread(*(each / sizes[members].sum() for each in own))
    size = _spread(*(each / sizes.sum() for each in found))
    return Estimates(int(count.sum()), precision, _spread(*known) if yes.any() else None, size)


def _spread(low: Float[np.ndarray, "draw"], high: Float[np.ndarray, "draw"], value: float) -> Estimate:
    ends = float(np.quantile(low, ENDS[0])), float(np.quantile(high, ENDS[1]))
    return Estimate(float(value), min(ends[0], float(value)), max(ends[1], float(value)))
