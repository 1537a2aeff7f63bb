"""A basin map on the terminal: its fixed points, which starts arrive, and what the certificate was worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loops.basin_map.evaluate import ONE_START, PICTURE, MeasuredMap
from loops.basin_map.map import BasinMap

SHOWN = 6
"""Fixed points in the table; the rest is counted."""


def show_map(found: BasinMap, measured: MeasuredMap | None, folder: Path, console: Console) -> None:
    """Print the map; with gold labels also how good the starts and where they arrived were."""
    _show_points(found, console)
    _show_failures(found, console)
    if measured is not None:
        _show_measured(measured, console)
    drawn = measured is not None and (folder / PICTURE).exists()
    pictures = f"; pictures {PICTURE}, {ONE_START}" if drawn else ""
    console.print(f"\nMap: {escape(str(folder))}{pictures}", soft_wrap=True, highlight=False)


def show_full(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Starts that flowed with generation: whether they end where the cheap map says."""
    for row in rows:
        console.print(
            f"In full, {escape(row['name'])}: overlap with the cheap map's end {row['overlap_with_cheap']:.3f}, drift "
            f"{_number(row['drift'])}, agreement {_number(row['agreement'])}, coherence {_number(row['coherence'])}, "
            f"{row['seconds'] / 60:.0f} min. {escape(row['certificate'] or '')}",
            highlight=False,
            soft_wrap=True,
        )


def _show_points(found: BasinMap, console: Console) -> None:
    told = found.summary
    console.print(
        f"\n{told['starts']} starts, {told['rounds']} rounds each; {told['settled']} came to rest, in "
        f"{len(found.points)} fixed points; {told['certified']} certified.",
        highlight=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("fixed point", "starts", "members", "contraction", "eigenvalue", "after kicks"):
        table.add_column(name, justify="left" if name == "fixed point" else "right", no_wrap=True)
    shown = list(zip(found.point_names, told["fixed_points"], strict=True))[:SHOWN]
    for name, point in shown:
        rates = (point["contraction"], point["eigenvalue"], point["back_after_kicks"])
        table.add_row(escape(name), str(point["starts"]), str(point["members"]), *map(_number, rates))
    console.print(table)
    for name, point in shown:
        nearest = f"{point['topics'][0]['topic']} ({point['topics'][0]['correlation']:.2f})"
        typical = f"{name}: {'; '.join(point['typical'])}. Most like topic {nearest}."
        console.print(escape(typical), highlight=False, style="dim", soft_wrap=True)
    if len(found.points) > SHOWN:
        rest = sum(point["starts"] for point in told["fixed_points"][SHOWN:])
        console.print(f"and {len(found.points) - SHOWN} more, of {rest} starts together", style="dim")


def _show_failures(found: BasinMap, console: Console) -> None:
    reasons = Counter(sentence.partition(" (")[0] for failures in found.failures for sentence in failures)
    if reasons:
        told = "; ".join(f"{reason}, {count}" for reason, count in reasons.most_common())
        console.print(f"\nWhy starts are not certified: {told}.", highlight=False, soft_wrap=True)


def _show_measured(measured: MeasuredMap, console: Console) -> None:
    numbers = measured.numbers
    console.print(f"\nagainst gold ({escape(measured.concept)}):", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in (
        "kind",
        "level",
        "starts",
        "before",
        "final AP",
        "lowest",
        "arrived",
        "right",
        "certified",
    ):
        table.add_column(name, justify="left" if name == "kind" else "right", no_wrap=True)
    for row in measured.by_kind:
        level = "" if row["level"] is None else f"{row['level']:g}"
        table.add_row(
            row["kind"], level, str(row["starts"]), *(_number(row[name]) for name in
            ("precision", "final_ap", "lowest_final_ap", "arrived", "right", "certified")),
        )  # fmt: skip
    console.print(table)
    same, crossing, worth = numbers["same_fixed_point"], numbers["threshold"], numbers["certificate"]
    lines = [
        f"Starts of precision 0.5 or more that reach the same fixed point: {_share(same['reached'])}",
        f"Its AP {_number(numbers['fixed_point_ap'])}; the topic {_number(numbers['topic_ap'])}, trained on gold labels "
        f"{_number(numbers['ceiling_ap'])}, best round of any start {_number(numbers['best_round_of_any_start'])}",
        f"Half of the starts flow there from precision {_number(crossing['half'])} on "
        f"({_number(crossing['low'])} to {_number(crossing['high'])}), nine in ten from {_number(crossing['nine_tenths'])}",
        f"The certificate, all starts: precision {_share(worth['all']['precision'])}, recall {_share(worth['all']['recall'])}",
        f"The certificate, starts that point at the concept better than chance: precision "
        f"{_share(worth['pointing']['precision'])}, recall {_share(worth['pointing']['recall'])}",
    ]
    if "held" in numbers:
        lines.append(
            f"With trust held instead, {_share(numbers['held']['same_as_topic'])} end where the topic does"
        )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _share(found: dict | None) -> str:
    if not found:
        return "–"
    return (
        f"{found['share']:.3f} ({found['count']} of {found['of']}; {found['low']:.2f} to {found['high']:.2f})"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
