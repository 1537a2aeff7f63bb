"""Runs side by side on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loops.comparing import CURVES, Comparison, Pair, Side
from loops.printing import printable
from loops.progress import duration
from loops.show import FRAME, first_words, plain_table

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
