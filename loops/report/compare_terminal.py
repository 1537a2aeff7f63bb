"""Print a comparison of runs on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.errors import printable
from loops.monitor.progress import duration
from loops.monitor.tables import FRAME, plain_table
from loops.report.compare import CURVES, GOLD, Comparison, Pair, Side
from loops.report.terminal import as_text, print_passages

LONGEST = 60
"""Characters of a setting's value."""


def show_comparison(found: Comparison, limit: int, console: Console) -> None:
    """Print a comparison, with `limit` passages per list."""
    _show_sides(found.sides, console)
    for note in found.notes:
        console.print(f"\n{escape(note)}", style="yellow", soft_wrap=True, highlight=False)
    _show_settings(found, console)
    for name in CURVES:
        _show_curve(found.sides, name, console)
    _show_overlap(found, console)
    for pair in found.pairs:
        if pair.shared and (pair.first == 0 or len(found.sides) == 2):
            _show_difference(found, pair, limit, console)
    _show_cost(found.sides, console)
    _show_gold(found.sides, console)


def _show_sides(sides: Sequence[Side], console: Console) -> None:
    table = plain_table("run", "round", *CURVES, "members", "certified", "time")
    for side in sides:
        certificate = side.certificate
        table.add_row(
            escape(side.name),
            str(side.record.round),
            *(as_text(side.curve(name)[-1]) for name in CURVES),
            str(len(side.record.concept.members())),
            "-" if certificate is None else "yes" if certificate["certified"] else "no",
            duration(sum(record.seconds for record in side.records)),
        )
    console.print(table)
    for words in dict.fromkeys(side.words for side in sides):
        names = ", ".join(escape(side.name) for side in sides if side.words == words)
        line = f"topic of {names}: {escape(printable(' '.join(words)))}"
        console.print(line, style="dim", soft_wrap=True, highlight=False)
    for side in sides:
        if certificate := side.certificate:
            sentence = escape(printable(str(certificate["sentence"])))
            console.print(f"{escape(side.name)}: {sentence}", soft_wrap=True, highlight=False)


def _show_settings(found: Comparison, console: Console) -> None:
    if not found.differences:
        console.print("\n[bold]Settings[/]: no difference")
        return
    table = Table(**FRAME)
    table.add_column("setting")
    for side in found.sides:
        table.add_column(escape(side.name), overflow="fold")
    for name, values in found.differences.items():
        plain = (printable(value) for value in values)
        short = (each if len(each) <= LONGEST else f"{each[: LONGEST - 4]} ..." for each in plain)
        table.add_row(name, *map(escape, short))
    console.print(f"\n[bold]Settings that differ[/]: {len(found.differences)}", highlight=False)
    console.print(table)


def _show_curve(sides: Sequence[Side], name: str, console: Console) -> None:
    """The newest rounds that fit the terminal."""
    curves = {side.name: side.curve(name) for side in sides}
    if all(value is None for curve in curves.values() for value in curve):
        return
    longest = max(map(len, curves.values()))
    room = max((console.width - max(map(len, curves)) - 4) // 7, 3)
    rounds = range(max(longest - room, 0), longest)
    table = plain_table(name, *map(str, rounds))
    for run, curve in curves.items():
        table.add_row(escape(run), *(as_text(curve[at]) if at < len(curve) else "" for at in rounds))
    console.print()
    console.print(table)


def _show_overlap(found: Comparison, console: Console) -> None:
    table = plain_table("overlap", *(escape(side.name) for side in found.sides))
    for first, side in enumerate(found.sides):
        pairs = [found.pair(first, second) for second in range(len(found.sides))]
        table.add_row(escape(side.name), *("1" if pair is None else as_text(pair.overlap) for pair in pairs))
    console.print("\n[bold]Soft Jaccard of the memberships[/]")
    console.print(table)


def _show_difference(found: Comparison, pair: Pair, limit: int, console: Console) -> None:
    one, other = found.sides[pair.first], found.sides[pair.second]
    for holds, lacks, rows, count in (
        (one, other, pair.only_first[:limit], pair.counts[0]),
        (other, one, pair.only_second[:limit], pair.counts[1]),
    ):
        title = f"In {escape(holds.name)} and not in {escape(lacks.name)}: {count} of {pair.shared} passages"
        columns = {escape(one.name): [row[1] for row in rows], escape(other.name): [row[2] for row in rows]}
        print_passages(console, title, holds.passages, [row[0] for row in rows], columns)


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
    """The stored measurements against gold labels."""
    for name in dict.fromkeys(row["concept"] for side in sides for row in side.gold):
        table = plain_table("run", *GOLD)
        for side in sides:
            row = next((row for row in side.gold if row["concept"] == name), {})
            table.add_row(escape(side.name), *(as_text(row.get(key)) for key in GOLD.values()))
        console.print(
            f"\n[bold]Against gold labels, unknown to every run[/]: {escape(name)}", highlight=False
        )
        console.print(table)
