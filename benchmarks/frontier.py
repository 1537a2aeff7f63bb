"""Precision against distance from the base model, one point a generator: what every step away from it buys."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agent.judging.figures.labels import BLUE, GREEN, VERMILION, Label, name_points

MARKER = 8
"""Side of a marker, in points."""
NOTE = 160
"""Letters in a line below the picture."""
LABEL = 9
"""Size of a label's letters, in points."""


@dataclass(frozen=True)
class Kind:
    """One kind of generator, as the picture shows it."""

    label: str
    prefixes: tuple[str, ...]
    colour: str
    marker: str


KINDS = (
    Kind("base model", ("base",), "black", "X"),
    Kind("rivals: the topic, an instruction, random text", ("topic", "prompt", "random"), VERMILION, "s"),
    Kind("ours", ("basin",), BLUE, "o"),
    Kind("ceilings: ours with gold labels", ("gold",), GREEN, "^"),
)


@dataclass(frozen=True)
class Point:
    """One generator in one panel."""

    generator: str
    distance: float
    """Nats per token from the base model."""
    value: float

    @property
    def kind(self) -> Kind:
        return kind_of(self.generator)


def kind_of(generator: str) -> Kind:
    """By the first part of its name. Raises KeyError for one that no kind begins with."""
    prefix = generator.partition("-")[0]
    for kind in KINDS:
        if prefix in kind.prefixes:
            return kind
    raise KeyError(f"no kind of generator begins with {prefix!r}")


def points(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[Point]:
    """Of every row whose distance and columns are known; the value is the columns' mean."""
    found = []
    for row in rows:
        distance, values = row.get("kl_per_token"), [row.get(column) for column in columns]
        numbers = [np.nan if each is None else float(each) for each in (distance, *values)]
        if np.isfinite(numbers).all():
            found.append(Point(str(row["generator"]), numbers[0], float(np.mean(numbers[1:]))))
    return found


def frontier(every: Sequence[Point]) -> list[Point]:
    """The points that none beats at the same distance or nearer, by rising distance; ceilings are out of competition."""
    best: list[Point] = []
    for point in sorted(every, key=lambda each: (each.distance, -each.value)):
        if point.kind is not KINDS[-1] and (not best or point.value > best[-1].value):
            best.append(point)
    return best


def can_be_drawn(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is anything to draw: where no judge can tell the concept there is not."""
    return bool(_panels(rows))


def draw_frontier(path: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Write a PNG: inside and readable, then the mean cluster score of A and B, both against nats per token.

    A judge without a number in any row (it cannot tell the concept) is left out, and a panel that nothing is in. Dashed and
    dotted: what real members and others reach. Generators that have no place are named below.

    Args:
        rows: of `basin evaluate generation`, of one corpus and concept.

    Returns:
        Whether there was anything to draw; nothing is written otherwise.
    """
    panels = _panels(rows)
    if not panels:
        return False
    figure = Figure(figsize=(13, 6 * len(panels)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    above, *rest = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    below = rest[-1] if rest else above
    drawn = [
        (axes, _draw_panel(axes, points(rows, columns), name, real))
        for axes, (columns, name, real) in zip((above, *rest), panels, strict=True)
    ]
    above.set_title(title)
    shown = {point.generator for _, every in drawn for point in every}
    left_out = [str(row["generator"]) for row in rows if row["generator"] not in shown]
    note = f"not shown, as distance or scores are not known: {', '.join(left_out)}" if left_out else ""
    note = "".join(f"\n{line}" for line in textwrap.wrap(note, NOTE))
    below.set_xlabel(f"distance from the base model (nats per token, root scale){note}")
    _legend(above)
    # Labels are placed by what is where, in pixels; nothing may move after that.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, every in drawn:
        axes.set_ylim(axes.get_ylim())
        _label(axes, every)
    figure.savefig(path, format="png", metadata={"Software": None})
    return True


def _panels(rows: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, ...], str, dict[str, Any]]]:
    """Columns, name and levels of every panel that something is in."""
    judges = [judge for judge in "ab" if any(row.get(f"cluster_score_{judge}") is not None for row in rows)]
    levels = {
        "real members": rows[0].get("inside_of_real_members"),
        "real others": rows[0].get("inside_of_real_others"),
    }
    scores = (
        f"cluster score of judge {judges[0].upper()}"
        if len(judges) == 1
        else "mean cluster score of judges A and B"
    )
    panels = [
        (("inside_and_readable",), "inside and readable (share of passages)", levels),
        (
            tuple(f"cluster_score_{judge}" for judge in judges or "ab"),
            scores,
            {"real members": 1.0, "real others": 0.0},
        ),
    ]
    return [panel for panel in panels if points(rows, panel[0])]


def _draw_panel(
    axes: Axes, every: Sequence[Point], name: str, levels: Mapping[str, float | None]
) -> list[Point]:
    """Markers, the levels of real passages and the frontier; gives back what it drew."""
    for kind in KINDS:
        mine = [point for point in every if point.kind is kind]
        if mine:
            style = {"c": kind.colour, "marker": kind.marker, "s": MARKER**2, "label": kind.label}
            style |= {"zorder": 3, "edgecolors": "white", "linewidths": 0.6}
            axes.scatter([each.distance for each in mine], [each.value for each in mine], **style)
    for (label, level), line in zip(levels.items(), ("--", ":"), strict=True):
        if level is not None:
            axes.axhline(level, color="black", linestyle=line, linewidth=0.9, label=label, zorder=0)
    best = frontier(every)
    farthest = max((point.distance for point in every), default=0.0) or 1.0
    if best:
        line = [*best, Point(best[-1].generator, farthest, best[-1].value)]
        style = {"where": "post", "color": "0.75", "linewidth": 1.5, "zorder": 1}
        label = "best without gold labels, so near or nearer"
        axes.step([each.distance for each in line], [each.value for each in line], label=label, **style)
    # Most generators lie near the base model: a root spreads them, and unlike a logarithm has a place for 0.
    axes.set_xscale("function", functions=(_root, _square))
    axes.set_xlim(_square(-0.04 * _root(farthest)), _square(1.12 * _root(farthest)))
    ticks = [tick for tick in (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 5) if tick <= farthest * 1.2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.margins(y=0.1)
    axes.set_ylabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    return list(every)


def _label(axes: Axes, every: Sequence[Point]) -> None:
    """A name beside each marker."""
    labels = [Label(point.generator, (point.distance, point.value), point.kind.colour) for point in every]
    name_points(axes, labels, np.array([label.at for label in labels]).reshape(-1, 2), LABEL)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    place = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, -0.03 if axes.figure.axes[-1] is not axes else -0.12),
        "ncols": 4,
    }
    axes.legend(handles, labels, fontsize=9, frameon=False, **place)


def _root(values: Any) -> Any:
    return np.sign(values) * np.sqrt(np.abs(values))


def _square(values: Any) -> Any:
    return np.sign(values) * np.square(values)
