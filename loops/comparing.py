"""Runs, or rounds of runs, side by side: what they were told, how they went, what each holds. Stored rounds only."""

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
from agent.tracking import soft_jaccard
from agent.types import PassageSet
from loops.config import is_aside
from loops.records import RoundRecord
from loops.runs import find_run
from loops.store import RunStore

CURVES = ("drift", "agreement", "coherence", "size")
"""Numbers of the rounds that are followed."""
APART, OF_ONE_DOCUMENT = 10, 2
"""Passages of a kind that are kept of a pair: the parts of a document mostly move together."""


@dataclass(frozen=True)
class Side:
    """A run as far as one of its rounds."""

    name: str
    store: RunStore
    records: tuple[RoundRecord, ...]
    passages: PassageSet
    words: tuple[str, ...]
    """The topic's, its pointer."""

    @property
    def record(self) -> RoundRecord:
        return self.records[-1]

    @property
    def membership(self) -> Float[np.ndarray, "passage"]:
        return self.record.concept.membership

    @property
    def is_newest(self) -> bool:
        return self.record.round == self.store.rounds()[-1]

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """Of this round; the run has one of its newest only."""
        return self.store.load_certificate() if self.is_newest else None

    @cached_property
    def settings(self) -> dict[str, str]:
        """Every setting by its dotted name, and what the run was made by; as they are written."""
        about = self.store.about
        made_by = {
            "(code)": about.get("commit"),
            **{f"({name})": each for name, each in about["versions"].items()},
        }
        flat = _flat(self.store.config.model_dump(mode="json"))
        told = {name: value for name, value in flat.items() if name == "rounds" or not is_aside(name)}
        return {name: _written(value) for name, value in {**told, **made_by}.items()}

    @property
    def cost(self) -> dict[str, float]:
        """Seconds by stage over the rounds, and the peak of memory."""
        stages = dict.fromkeys(
            stage for record in self.records for stage in record.cost if stage != "peak_gb"
        )
        seconds = {stage: sum(record.cost.get(stage, 0.0) for record in self.records) for stage in stages}
        peaks = [record.cost["peak_gb"] for record in self.records if "peak_gb" in record.cost]
        return seconds | ({"peak_gb": max(peaks)} if peaks else {})

    def curve(self, number: str) -> list[float | None]:
        """A number of every round; round 0's coherence is the base model's."""
        key = {"coherence": "base_coherence"}
        first = self.records[0].metrics
        return [
            first.get(key.get(number, number)),
            *(record.metrics.get(number) for record in self.records[1:]),
        ]

    @cached_property
    def gold(self) -> list[Mapping[str, Any]]:
        """What was measured of this round against gold labels and stored; nothing here measures."""
        from loops.measuring import stored_rows

        return [row for row in stored_rows(self.store) or [] if row["round"] == self.record.round]


@dataclass(frozen=True)
class Pair:
    """What two sides hold of the same texts."""

    first: int
    second: int
    unit: str | None
    """`passages` or `documents`, whichever they share; None where they share nothing."""
    shared: int
    overlap: float | None
    """Soft Jaccard over what is shared."""
    only_first: tuple[tuple[int, float, float], ...] = ()
    """Passages that the first holds and the second does not: index in the first, both memberships; the largest gap first."""
    only_second: tuple[tuple[int, float, float], ...] = ()
    """The other way round; the index is in the second, the first's membership still comes first."""
    counts: tuple[int, int] = (0, 0)
    """How many there are of each kind in all."""


@dataclass(frozen=True)
class Comparison:
    """Sides, and every pair of them."""

    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]

    def pair(self, first: int, second: int) -> Pair | None:
        return next((each for each in self.pairs if {each.first, each.second} == {first, second}), None)

    @property
    def differences(self) -> dict[str, list[str]]:
        """Settings in which not all agree: name, value of each side; `-` where one has no such setting."""
        names = dict.fromkeys(name for side in self.sides for name in side.settings)
        rows = {name: [side.settings.get(name, "-") for side in self.sides] for name in names}
        return {name: values for name, values in sorted(rows.items()) if len(set(values)) > 1}

    @property
    def notes(self) -> list[str]:
        """What of it cannot be compared, or only in part."""
        told = []
        for each in self.pairs:
            first, second = self.sides[each.first], self.sides[each.second]
            names = f"{first.name} and {second.name}"
            if each.unit is None:
                told.append(
                    f"{names} share no text, so what they hold cannot be compared; settings, curves and cost can."
                )
            elif each.unit == "documents":
                told.append(
                    f"{names} cut their texts differently: they are compared by the {each.shared} documents they share."
                )
            elif each.shared < max(len(first.passages.passages), len(second.passages.passages)):
                told.append(f"{names} are compared by the {each.shared} passages they share.")
        return told


def compare(names: Sequence[str]) -> Comparison:
    """Lay runs side by side; `brown:3` names a round.

    Raises:
        BasinError: fewer than two are named, one is named twice, is not there or has no whole round.
    """
    if len(names) < 2:
        raise BasinError(
            "Name at least two runs to compare, or two rounds of one, such as `basin compare brown:1 brown`."
        )
    sides = [open_side(name) for name in names]
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


def open_side(name: str) -> Side:
    """A run up to its newest round, or up to the one that is named after a colon; raises `BasinError`."""
    run, colon, number = name.rpartition(":")
    named = bool(colon) and number.isdecimal() and not Path(name).exists()
    store = RunStore.open(find_run(run if named else name))
    rounds = store.rounds()
    if not rounds:
        raise BasinError(
            f"The run {store.name} has no whole round yet; `basin watch {store.name}` shows how far it is."
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
    places, others = _shared(_texts(one), _texts(other))
    if len(places):
        ours, theirs = one.membership[places], other.membership[others]
        only_first = _gap(ours, theirs)
        only_second = _gap(theirs, ours)
        return Pair(
            first,
            second,
            "passages",
            len(places),
            soft_jaccard(ours, theirs),
            tuple(
                (int(places[at]), float(ours[at]), float(theirs[at])) for at in _few(one, places, only_first)
            ),
            tuple(
                (int(others[at]), float(ours[at]), float(theirs[at]))
                for at in _few(other, others, only_second)
            ),
            (len(only_first), len(only_second)),
        )
    documents = [[document.id for document in side.passages.documents] for side in (one, other)]
    places, others = _shared(*documents)
    if len(places):
        ours, theirs = _by_document(one)[places], _by_document(other)[others]
        return Pair(first, second, "documents", len(places), soft_jaccard(ours, theirs))
    return Pair(first, second, None, 0, None)


def _few(side: Side, places: Int[np.ndarray, "both"], ranked: Int[np.ndarray, "found"]) -> list[int]:
    """The first of them, few of one document."""
    document_of, taken, kept = side.passages.document_of, Counter(), []
    for at in ranked.tolist():
        document = int(document_of[places[at]])
        taken[document] += 1
        if taken[document] <= OF_ONE_DOCUMENT:
            kept.append(at)
    return kept[:APART]


def _texts(side: Side) -> list[str]:
    return [" ".join(text.casefold().split()) for text in side.passages.texts]


def _shared(
    first: Sequence[str], second: Sequence[str]
) -> tuple[Int[np.ndarray, "both"], Int[np.ndarray, "both"]]:
    """Where what both have stands in each, in the first's order; what stands twice counts once."""
    at = {each: place for place, each in reversed(list(enumerate(second)))}
    once = dict.fromkeys(each for each in first if each in at)
    places = {each: place for place, each in reversed(list(enumerate(first)))}
    return (
        np.array([places[each] for each in once], dtype=np.int64),
        np.array([at[each] for each in once], dtype=np.int64),
    )


def _by_document(side: Side) -> Float[np.ndarray, "document"]:
    document_of = side.passages.document_of
    counts = np.bincount(document_of, minlength=len(side.passages.documents))
    sums = np.bincount(document_of, weights=side.membership, minlength=len(side.passages.documents))
    return sums / np.maximum(counts, 1)


def _gap(holds: Float[np.ndarray, "both"], lacks: Float[np.ndarray, "both"]) -> Int[np.ndarray, "found"]:
    """Places that one holds as members and the other does not, the largest difference first."""
    found = np.flatnonzero((holds >= MEMBER) & (lacks < MEMBER))
    return found[np.argsort(-(holds - lacks)[found], kind="stable")]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value
            else {f"{prefix}{key}": value}
        )
    return flat


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
