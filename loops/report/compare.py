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
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.concept import MEMBER
from agent.errors import BasinError, printable
from agent.membership.similarity import soft_jaccard
from agent.types import PassageSet
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore
from loops.config import changes_no_round
from loops.monitor.progress import duration
from loops.monitor.tables import FRAME, plain_table
from loops.records import RoundRecord
from loops.report.terminal import first_words

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
        told = {name: value for name, value in flat.items() if name == "rounds" or not changes_no_round(name)}
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
        from loops.evaluation.measure import stored_rows

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


GOLD = {
    "AP of the topic": "ap_topic",
    "alone": "ap_concept",
    "with document": "ap_concept_pooled",
    "gold-trained alone": "ap_ceiling",
    "with its document": "ap_ceiling_pooled",
}
LONGEST = 60


def show_comparison(found: Comparison, limit: int, console: Console) -> None:
    """Everything that two or more runs can be held against each other by."""
    _show_sides(found.sides, console)
    for note in found.notes:
        console.print(f"\n{escape(note)}", style="yellow", soft_wrap=True, highlight=False)
    _show_settings(found, console)
    for number in CURVES:
        _show_curve(found.sides, number, console)
    _show_overlap(found, console)
    for pair in found.pairs:
        if pair.unit == "passages" and (pair.first == 0 or len(found.sides) == 2):
            _show_apart(found, pair, limit, console)
    _show_cost(found.sides, console)
    _show_gold(found.sides, console)


def _show_sides(sides: Sequence[Side], console: Console) -> None:
    table = plain_table("run", "round", *CURVES, "members", "certified", "time")
    for side in sides:
        certificate = side.certificate
        certified = "-" if certificate is None else "yes" if certificate["certified"] else "no"
        last = [side.curve(number)[-1] for number in CURVES]
        members = str(len(side.record.concept.members()))
        seconds = sum(record.seconds for record in side.records)
        table.add_row(
            escape(side.name),
            str(side.record.round),
            *map(_number, last),
            members,
            certified,
            duration(seconds),
        )
    console.print(table)
    same = len({side.words for side in sides}) == 1
    for side in sides[: 1 if same else None]:
        console.print(
            f"{'topic' if same else escape(side.name)}: {escape(printable(' '.join(side.words)))}",
            style="dim",
            soft_wrap=True,
            highlight=False,
        )
    for side in sides:
        if certificate := side.certificate:
            sentence = escape(printable(str(certificate["sentence"])))
            console.print(f"{escape(side.name)}: {sentence}", soft_wrap=True, highlight=False)


def _show_settings(found: Comparison, console: Console) -> None:
    differences = found.differences
    if not differences:
        console.print("\n[bold]Settings[/]: no difference")
        return
    table = Table(**FRAME)
    table.add_column("setting")
    for side in found.sides:
        table.add_column(escape(side.name), overflow="fold")
    for name, values in differences.items():
        table.add_row(name, *(escape(printable(_short(value))) for value in values))
    console.print(f"\n[bold]Settings that differ[/]: {len(differences)}", highlight=False)
    console.print(table)


def _show_curve(sides: Sequence[Side], number: str, console: Console) -> None:
    """The newest rounds that fit the terminal."""
    curves = {side.name: side.curve(number) for side in sides}
    if all(value is None for curve in curves.values() for value in curve):
        return
    longest = max(map(len, curves.values()))
    room = max((console.width - max(map(len, curves)) - 4) // 7, 3)
    rounds = range(max(longest - room, 0), longest)
    table = plain_table(number, *map(str, rounds))
    for name, curve in curves.items():
        table.add_row(escape(name), *(_number(curve[at]) if at < len(curve) else "" for at in rounds))
    console.print()
    console.print(table)


def _show_overlap(found: Comparison, console: Console) -> None:
    table = plain_table("overlap", *(escape(side.name) for side in found.sides))
    for first, side in enumerate(found.sides):
        cells = []
        for second in range(len(found.sides)):
            pair = found.pair(first, second)
            cells.append("1" if pair is None else _number(pair.overlap))
        table.add_row(escape(side.name), *cells)
    console.print("\n[bold]Soft Jaccard of the memberships[/]")
    console.print(table)


def _show_apart(found: Comparison, pair: Pair, limit: int, console: Console) -> None:
    one, other = found.sides[pair.first], found.sides[pair.second]
    for holds, lacks, passages, count in (
        (one, other, pair.only_first, pair.counts[0]),
        (other, one, pair.only_second, pair.counts[1]),
    ):
        title = f"Held by {escape(holds.name)} and not by {escape(lacks.name)}"
        console.print(
            f"\n[bold]{title}[/]: {count} of {pair.shared} passages", highlight=False, soft_wrap=True
        )
        if not passages:
            continue
        table = Table(**FRAME)
        for name in (one.name, other.name):
            table.add_column(escape(name), justify="right", no_wrap=True)
        table.add_column("title")
        table.add_column("first words", ratio=1)
        for at, first, second in passages[:limit]:
            passage = holds.passages.passages[at]
            document = holds.passages.documents[passage.document]
            title, beginning = document.title or document.id, first_words(passage.text)
            table.add_row(
                f"{first:.2f}", f"{second:.2f}", escape(printable(title)), escape(printable(beginning))
            )
        console.print(table)


def _show_cost(sides: Sequence[Side], console: Console) -> None:
    costs = [side.cost for side in sides]
    stages = dict.fromkeys(stage for cost in costs for stage in cost)
    if not stages:
        return
    table = plain_table("seconds", *(escape(side.name) for side in sides))
    for stage in sorted(stages, key=lambda stage: stage == "peak_gb"):
        digits = 1 if stage == "peak_gb" else 0
        table.add_row(stage, *(f"{cost[stage]:.{digits}f}" if stage in cost else "-" for cost in costs))
    console.print()
    console.print(table)


def _show_gold(sides: Sequence[Side], console: Console) -> None:
    """Only what was stored; marked as what no run knew."""
    names = dict.fromkeys(row["concept"] for side in sides for row in side.gold)
    for name in names:
        table = plain_table("run", *GOLD)
        for side in sides:
            row = next((row for row in side.gold if row["concept"] == name), None)
            table.add_row(
                escape(side.name), *(_number(row.get(key)) if row else "-" for key in GOLD.values())
            )
        console.print(f"\n[bold]Against gold labels, which no run knew[/]: {escape(name)}", highlight=False)
        console.print(table)


def _short(value: str) -> str:
    value = printable(value)
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 4]} ..."


def _number(value: object) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
