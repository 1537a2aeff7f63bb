"""Compare stored runs, or rounds of runs: settings, curves, memberships and cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.concept import MEMBER
from agent.errors import BasinError
from agent.membership.similarity import soft_jaccard
from agent.types import PassageSet
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore
from loops.config import changes_no_round
from loops.records import RoundRecord
from loops.report.run_page.course import flatten
from loops.report.run_page.material import metric

CURVES = ("drift", "agreement", "coherence", "size")
"""Metrics compared round by round."""
GOLD = {
    "AP of the topic": "ap_topic",
    "AP alone": "ap_concept",
    "AP with document": "ap_concept_pooled",
    "gold-trained, alone": "ap_ceiling",
    "gold-trained, with document": "ap_ceiling_pooled",
}
DIFFERING, PER_DOCUMENT = 10, 2
"""Passages listed of each side of a pair: in all, and of one document."""


@dataclass(frozen=True)
class Side:
    """A run up to one of its rounds."""

    name: str
    store: RunStore
    records: tuple[RoundRecord, ...]
    passages: PassageSet
    words: tuple[str, ...]
    """The topic's most probable words."""

    @property
    def record(self) -> RoundRecord:
        return self.records[-1]

    @property
    def membership(self) -> Float[np.ndarray, "passage"]:
        return self.record.concept.membership

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """Of this round; only a run's newest round has one."""
        return self.store.load_certificate() if self.record.round == self.store.rounds()[-1] else None

    @cached_property
    def settings(self) -> dict[str, str]:
        """Every setting by its dotted name, with code and library versions."""
        about = self.store.about
        versions = {f"({name})": each for name, each in about["versions"].items()}
        flat = flatten(self.store.config.model_dump(mode="json"))
        chosen = {name: value for name, value in flat if name == "rounds" or not changes_no_round(name)}
        every = chosen | {"(code)": about.get("commit")} | versions
        return {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in every.items()
        }

    @property
    def cost(self) -> dict[str, float]:
        """Seconds by stage over the rounds, and `peak_gb`, the largest memory."""
        found: dict[str, float] = {}
        for record in self.records:
            for stage, value in record.cost.items():
                known = found.get(stage, 0.0)
                found[stage] = max(known, value) if stage == "peak_gb" else known + value
        return found

    def curve(self, name: str) -> list[float | None]:
        """A metric of every round; round 0's coherence is the base model's."""
        first = metric(self.records[0], "base_coherence" if name == "coherence" else name)
        return [first, *(metric(record, name) for record in self.records[1:])]

    @cached_property
    def gold(self) -> list[Mapping[str, Any]]:
        """Stored measurements of this round against gold labels."""
        from loops.evaluation.measure import stored_rows

        return [row for row in stored_rows(self.store) or [] if row["round"] == self.record.round]


@dataclass(frozen=True)
class Pair:
    """The overlap of two sides, by their indices."""

    first: int
    second: int
    shared: int
    """Passages with the same text."""
    overlap: float | None
    """Soft Jaccard over the shared passages; None without any."""
    only_first: tuple[tuple[int, float, float], ...] = ()
    """Members of the first side only: index in it, both memberships; largest difference first."""
    only_second: tuple[tuple[int, float, float], ...] = ()
    """Members of the second side only: index in it, both memberships in the same order."""
    counts: tuple[int, int] = (0, 0)
    """All members of one side only."""


@dataclass(frozen=True)
class Comparison:
    """Sides, and every pair of them."""

    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]

    def pair(self, first: int, second: int) -> Pair | None:
        """The pair of two sides, in either order."""
        return next((each for each in self.pairs if {each.first, each.second} == {first, second}), None)

    @property
    def differences(self) -> dict[str, list[str]]:
        """Settings that differ: the value of each side, `-` if it has no such setting."""
        names = dict.fromkeys(name for side in self.sides for name in side.settings)
        rows = {name: [side.settings.get(name, "-") for side in self.sides] for name in names}
        return {name: values for name, values in sorted(rows.items()) if len(set(values)) > 1}

    @property
    def notes(self) -> list[str]:
        """Sentences on pairs that cannot be compared, or only in part."""
        notes = []
        for pair in self.pairs:
            first, second = self.sides[pair.first], self.sides[pair.second]
            names = f"{first.name} and {second.name}"
            if not pair.shared:
                notes.append(f"{names} share no passage: only settings, curves and cost can be compared.")
            elif pair.shared < max(len(first.passages.passages), len(second.passages.passages)):
                notes.append(f"{names} are compared by the {pair.shared} passages they share.")
        return notes


def compare(names: Sequence[str]) -> Comparison:
    """Compare runs by name or path; `brown:3` names a round.

    Raises:
        BasinError: fewer than two are named, one is named twice, or one has no such whole round.
    """
    if len(names) < 2:
        raise BasinError(
            "Name at least two runs to compare, or two rounds of one, such as `basin compare brown:1 brown`."
        )
    sides = [_open_side(name) for name in names]
    seen: dict[tuple[Path, int], str] = {}
    for side in sides:
        key = side.store.path.resolve(), side.record.round
        if key in seen:
            raise BasinError(
                f"{seen[key]} and {side.name} are the same round of the same run; name another one."
            )
        seen[key] = side.name
    pairs = [_pair(sides, first, second) for first, second in combinations(range(len(sides)), 2)]
    return Comparison(tuple(sides), tuple(pairs))


def _open_side(name: str) -> Side:
    """A run up to its newest round, or to the one named after a colon."""
    run, colon, number = name.rpartition(":")
    named = bool(colon) and number.isdecimal() and not Path(name).exists()
    store = RunStore.open(find_run(run if named else name))
    rounds = store.rounds()
    if not rounds:
        raise BasinError(
            f"The run {store.name} has no whole round yet; "
            f"`basin inspect {store.name} --follow` shows its progress."
        )
    wanted = int(number) if named else rounds[-1]
    if wanted not in rounds:
        raise BasinError(f"{store.name} has no round {wanted}; it has rounds {rounds[0]} to {rounds[-1]}.")
    records = tuple(store.load(each) for each in rounds if each <= wanted)
    pointer = store.load_pointer()
    words = tuple(pointer.model.top_words(pointer.topic))
    return Side(name.rstrip("/").rsplit("/", 1)[-1], store, records, store.load_passages(), words)


def _pair(sides: Sequence[Side], first: int, second: int) -> Pair:
    one, other = sides[first], sides[second]
    texts = ([" ".join(text.casefold().split()) for text in side.passages.texts] for side in (one, other))
    places, others = _matches(*texts)
    if not len(places):
        return Pair(first, second, 0, None)
    ours, theirs = one.membership[places], other.membership[others]
    of_first, of_second = _members_only(ours, theirs), _members_only(theirs, ours)
    only_first, only_second = (
        tuple((int(at[row]), float(ours[row]), float(theirs[row])) for row in _few(side, at, ranked))
        for side, at, ranked in ((one, places, of_first), (other, others, of_second))
    )
    counts = len(of_first), len(of_second)
    return Pair(first, second, len(places), soft_jaccard(ours, theirs), only_first, only_second, counts)


def _matches(
    first: Sequence[str], second: Sequence[str]
) -> tuple[Int[np.ndarray, "both"], Int[np.ndarray, "both"]]:
    """Places of the strings that both have, in the first's order; repeated strings count once."""
    places, others = ({each: at for at, each in reversed(list(enumerate(side)))} for side in (first, second))
    both = [each for each in dict.fromkeys(first) if each in others]
    return (
        np.array([places[each] for each in both], dtype=np.int64),
        np.array([others[each] for each in both], dtype=np.int64),
    )


def _members_only(
    one: Float[np.ndarray, "both"], other: Float[np.ndarray, "both"]
) -> Int[np.ndarray, "found"]:
    """Places of members of the one that the other lacks, the largest difference first."""
    found = np.flatnonzero((one >= MEMBER) & (other < MEMBER))
    return found[np.argsort(-(one - other)[found], kind="stable")]


def _few(side: Side, places: Int[np.ndarray, "both"], ranked: Int[np.ndarray, "found"]) -> list[int]:
    """The first `DIFFERING` of them, at most `PER_DOCUMENT` of a document."""
    counts: Counter[int] = Counter()
    chosen = []
    for at in ranked.tolist():
        document = int(side.passages.document_of[places[at]])
        counts[document] += 1
        if counts[document] <= PER_DOCUMENT:
            chosen.append(at)
    return chosen[:DIFFERING]
