"""Compare stored runs, or rounds of runs, on the terminal: settings, curves, memberships and cost."""

from __future__ import annotations

import json
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

from agent.concept import MEMBER
from agent.errors import BasinError, printable
from agent.membership.similarity import soft_jaccard
from agent.types import PassageSet
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore
from loops.config import changes_no_round
from loops.monitor.tables import table_of
from loops.records import RoundRecord
from loops.report.run_page.course import flatten
from loops.report.run_page.material import metric
from loops.report.run_page.passages import limit_per_document
from loops.report.terminal import print_passages, print_sentence

CURVES = ("drift", "agreement", "coherence", "size")
"""Metrics compared round by round."""
GOLD = {
    "AP of the topic": "ap_topic",
    "AP alone": "ap_concept",
    "AP with document": "ap_concept_pooled",
    "gold-trained, alone": "ap_ceiling",
    "gold-trained, with document": "ap_ceiling_pooled",
}
LONGEST = 60
"""Characters of a setting's value."""


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
    """Two sides, and the passages that have the same text in both."""

    first: Side
    second: Side
    places: Int[np.ndarray, "side shared"]
    """Of the shared passages in each side; repeated texts count once."""

    @property
    def shared(self) -> int:
        return len(self.places[0])

    @cached_property
    def memberships(self) -> Float[np.ndarray, "side shared"]:
        return np.stack([self.first.membership[self.places[0]], self.second.membership[self.places[1]]])

    @property
    def overlap(self) -> float | None:
        """Soft Jaccard over the shared passages; None without any."""
        return soft_jaccard(*self.memberships) if self.shared else None

    def only(self, side: int) -> list[int]:
        """Columns of `places` whose passages are members of that side only, by falling difference."""
        inside, outside = self.memberships[side], self.memberships[1 - side]
        found = np.flatnonzero((inside >= MEMBER) & (outside < MEMBER))
        return [int(at) for at in found[np.argsort(-(inside - outside)[found], kind="stable")]]


@dataclass(frozen=True)
class Comparison:
    """Sides, and every pair of them."""

    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]

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
            names = f"{pair.first.name} and {pair.second.name}"
            if not pair.shared:
                notes.append(f"{names} share no passage: only settings, curves and cost can be compared.")
            elif pair.shared < max(len(pair.first.membership), len(pair.second.membership)):
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
    sides = tuple(_open_side(name) for name in names)
    pairs = tuple(_pair(first, second) for first, second in combinations(sides, 2))
    return Comparison(sides, pairs)


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


def _pair(first: Side, second: Side) -> Pair:
    if first.record.round == second.record.round and first.store.path.samefile(second.store.path):
        raise BasinError(
            f"{first.name} and {second.name} are the same round of the same run; name another one."
        )
    place, other = (
        {" ".join(text.casefold().split()): at for at, text in reversed(list(enumerate(side.passages.texts)))}
        for side in (first, second)
    )
    both = sorted((at, other[text]) for text, at in place.items() if text in other)
    return Pair(first, second, np.array(both, dtype=np.int64).reshape(-1, 2).T)


def show_comparison(found: Comparison, limit: int, console: Console) -> None:
    """Print a comparison, with `limit` passages per list."""
    _show_sides(found.sides, console)
    for note in found.notes:
        console.print(f"\n{escape(note)}", style="yellow", soft_wrap=True, highlight=False)
    names = [side.name for side in found.sides]
    rows = [[name, *map(_short, values)] for name, values in found.differences.items()]
    console.print(f"\n[bold]Settings that differ[/]: {len(rows) or 'none'}", highlight=False)
    if rows:
        console.print(table_of(["setting", *names], rows))
    for name in CURVES:
        _show_curve(found.sides, name, console)
    console.print("\n[bold]Soft Jaccard of the memberships[/]")
    overlaps = [[f"{each.first.name}, {each.second.name}", each.overlap] for each in found.pairs]
    console.print(table_of(["runs", "overlap"], overlaps))
    for pair in found.pairs:
        if pair.shared and pair.first is found.sides[0]:
            _show_difference(pair, limit, console)
    costs = [side.cost for side in found.sides]
    stages = sorted(
        {stage for cost in costs for stage in cost}, key=lambda stage: (stage == "peak_gb", stage)
    )
    console.print("\n[bold]Seconds by stage[/]")
    console.print(table_of(["", *names], [[each, *(cost.get(each) for cost in costs)] for each in stages], 1))
    _show_gold(found.sides, console)


def _show_sides(sides: Sequence[Side], console: Console) -> None:
    rows = []
    for side in sides:
        certificate = side.certificate
        certified = None if certificate is None else "yes" if certificate["certified"] else "no"
        curves = (side.curve(name)[-1] for name in CURVES)
        members = len(side.record.concept.members())
        rows.append([side.name, side.record.round, *curves, members, certified])
    console.print(table_of(["run", "round", *CURVES, "members", "certified"], rows))
    for words in dict.fromkeys(side.words for side in sides):
        names = ", ".join(side.name for side in sides if side.words == words)
        print_sentence(f"topic of {names}: {' '.join(words)}", console, "dim")
    for side in sides:
        if certificate := side.certificate:
            print_sentence(f"{side.name}: {certificate['sentence']}", console)


def _short(value: str) -> str:
    plain = printable(value)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 4]} ..."


def _show_curve(sides: Sequence[Side], name: str, console: Console) -> None:
    """Print the newest rounds that fit the terminal."""
    curves = [(side.name, side.curve(name)) for side in sides]
    if all(value is None for _, curve in curves for value in curve):
        return
    longest = max(len(curve) for _, curve in curves)
    room = max((console.width - max(len(run) for run, _ in curves) - 4) // 7, 3)
    rounds = range(max(longest - room, 0), longest)
    rows = [[run, *(curve[at] if at < len(curve) else "" for at in rounds)] for run, curve in curves]
    console.print()
    console.print(table_of([name, *map(str, rounds)], rows))


def _show_difference(pair: Pair, limit: int, console: Console) -> None:
    sides, names = (pair.first, pair.second), [escape(pair.first.name), escape(pair.second.name)]
    for at, side in enumerate(sides):
        only, passages = pair.only(at), side.passages
        title = f"In {names[at]} and not in {names[1 - at]}: {len(only)} of {pair.shared} passages"
        shown = limit_per_document(passages.document_of[pair.places[at]], only, limit)
        columns = dict(zip(names, pair.memberships[:, shown], strict=True))
        print_passages(console, title, passages, pair.places[at][shown].tolist(), columns)


def _show_gold(sides: Sequence[Side], console: Console) -> None:
    """Print stored measurements against gold labels."""
    for name in dict.fromkeys(row["concept"] for side in sides for row in side.gold):
        found = [next((row for row in side.gold if row["concept"] == name), {}) for side in sides]
        rows = [
            [side.name, *(row.get(key) for key in GOLD.values())]
            for side, row in zip(sides, found, strict=True)
        ]
        console.print(
            f"\n[bold]Against gold labels, unknown to every run[/]: {escape(name)}", highlight=False
        )
        console.print(table_of(["run", *GOLD], rows))
