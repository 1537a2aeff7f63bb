"""A basin map on the terminal: fixed points, starts that reach them, and the certificate's quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from loops.basin_map.evaluate import PICTURE, MeasuredMap
from loops.basin_map.map import BasinMap
from loops.monitor.tables import number, table_of

SHOWN = 6
"""Fixed points in the table; the rest is counted."""
POINT_COLUMNS = {
    "starts": "starts",
    "members": "members",
    "contraction": "contraction",
    "eigenvalue": "eigenvalue",
    "back_after_kicks": "after kicks",
}
KIND_COLUMNS = {
    "kind": "kind",
    "level": "level",
    "starts": "starts",
    "precision": "before",
    "trained_once_ap": "trained once",
    "final_ap": "final AP",
    "lowest_final_ap": "lowest",
    "arrived": "arrived",
    "right": "right",
    "certified": "certified",
}


def show_map(found: BasinMap, measured: MeasuredMap | None, folder: Path, console: Console) -> None:
    """Print the map and, with gold labels, the quality of its starts and fixed points."""
    _show_points(found, console)
    _show_failures(found, console)
    if measured is not None:
        _show_measured(measured, console)
    drawn = measured is not None and (folder / PICTURE).exists()
    picture = f"; picture {PICTURE}" if drawn else ""
    _print(console, f"\nMap: {folder}{picture}")


def _show_points(found: BasinMap, console: Console) -> None:
    summary = found.summary
    _print(
        console,
        f"\n{summary['starts']} starts, {summary['rounds']} rounds each; {summary['settled']} came to rest, in "
        f"{len(found.points)} fixed points; {summary['certified']} certified.",
    )
    shown = list(zip(found.point_names, summary["fixed_points"], strict=True))[:SHOWN]
    rows = [[name, *(point[key] for key in POINT_COLUMNS)] for name, point in shown]
    console.print(table_of(["fixed point", *POINT_COLUMNS.values()], rows))
    for name, point in shown:
        nearest = f"{point['topics'][0]['topic']} ({point['topics'][0]['correlation']:.2f})"
        _print(console, f"{name}: {'; '.join(point['typical'])}. Most like topic {nearest}.", style="dim")
    if len(found.points) > SHOWN:
        rest = sum(point["starts"] for point in summary["fixed_points"][SHOWN:])
        _print(console, f"and {len(found.points) - SHOWN} more, of {rest} starts together", style="dim")


def _show_failures(found: BasinMap, console: Console) -> None:
    reasons = Counter(sentence.partition(" (")[0] for failures in found.failures for sentence in failures)
    if reasons:
        counts = "; ".join(f"{reason}, {count}" for reason, count in reasons.most_common())
        _print(console, f"\nWhy starts are not certified: {counts}.")


def _show_measured(measured: MeasuredMap, console: Console) -> None:
    numbers: Mapping[str, Any] = measured.numbers
    _print(console, f"\nagainst gold ({measured.concept}):")
    rows = [[row[key] for key in KIND_COLUMNS] for row in measured.by_kind]
    console.print(table_of(list(KIND_COLUMNS.values()), rows))
    same, worth = numbers["same_fixed_point"], numbers["certificate"]
    lines = [
        f"Starts of precision 0.5 or more that reach the same fixed point: {_share(same['reached'])}",
        f"Its AP {number(numbers['fixed_point_ap'])}; the topic {number(numbers['topic_ap'])}, trained on gold labels "
        f"{number(numbers['ceiling_ap'])}, best round of any start {number(numbers['best_round_of_any_start'])}",
        f"Half of the starts flow there from precision {number(numbers['threshold'])} on",
        f"The certificate, all starts: precision {_share(worth['all']['precision'])}, recall {_share(worth['all']['recall'])}",
        f"The certificate, starts that point at the concept better than chance: precision "
        f"{_share(worth['pointing']['precision'])}, recall {_share(worth['pointing']['recall'])}",
    ]
    if "held" in numbers:
        lines.append(
            f"With trust held instead, {_share(numbers['held']['same_as_topic'])} end where the topic does"
        )
    for line in lines:
        _print(console, line)


def _print(console: Console, text: str, style: str | None = None) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True, style=style)


def _share(found: Mapping[str, Any] | None) -> str:
    if not found:
        return number(None)
    return (
        f"{found['share']:.3f} ({found['count']} of {found['of']}; {found['low']:.2f} to {found['high']:.2f})"
    )
