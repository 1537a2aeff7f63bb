"""The figure of a basin map: where all starts flow, and the quality of what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from agent.basin.tracking import drifts
from agent.judging.basin_quality import (
    Flows,
    average_precisions,
    is_right,
    precision_and_recall,
    precisions_at_size,
    same_fixed_point_share,
    threshold,
)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Of the most visited fixed points, in their order, from the palette of Okabe and Ito."""
OTHER, UNSETTLED, INK = "0.55", "0.80", "0.15"
LEAST_DRIFT = 1e-5
"""Smaller drifts are drawn here."""
LETTERS = 34
"""Maximum length of a fixed point's name."""


@dataclass(frozen=True)
class _Group:
    """Starts that are drawn alike."""

    name: str
    colour: str
    starts: Bool[np.ndarray, "start"]
    settled: bool = True
    starred: bool = False
    """Whether the group is one fixed point, which gets a star."""

    @property
    def style(self) -> str:
        return "solid" if self.settled else "dashed"


def draw_basin_map(
    path: Path, flows: Flows, gold: Bool[np.ndarray, "document"], *, names: Sequence[str], ceiling_ap: float
) -> None:
    """Write a PNG of three panels: the flow, final quality by starting quality, and drift by round.

    Args:
        names: of the fixed points, the most visited first; the others are numbered.
        ceiling_ap: average precision of a classifier trained on gold labels.

    Raises:
        ValueError: no document is positive.
    """
    groups = _groups(flows, names)
    figure = Figure(figsize=(17, 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    plane, curve, still = figure.subplots(1, 3)
    _draw_flow(plane, flows, gold, groups)
    precision = precisions_at_size(gold, flows.starts)
    _draw_quality(curve, flows, gold, groups, ceiling_ap)
    _draw_drifts(still, flows, groups)
    legend = figure.legend(handles=_handles(groups), loc="outside lower center", ncols=4, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(_headline(flows, precision, names), x=0.012, ha="left", parse_math=False)
    figure.savefig(path, format="png", metadata={"Software": None})


def _name(names: Sequence[str], index: int) -> str:
    known = names[index] if index < len(names) else ""
    return shorten(known or f"fixed point {index + 1}", LETTERS, placeholder="…")


def _groups(flows: Flows, names: Sequence[str]) -> list[_Group]:
    """Groups that have starts, the most visited fixed point last, so that it is drawn on top."""
    reached = flows.fixed_point
    groups = [
        _Group("did not settle", UNSETTLED, reached < 0, settled=False),
        _Group("other fixed points", OTHER, reached >= len(COLOURS)),
    ]
    for index, colour in reversed(list(enumerate(COLOURS))):
        groups.append(_Group(_name(names, index), colour, reached == index, starred=True))
    return [group for group in groups if group.starts.any()]


def _headline(flows: Flows, precision: Float[np.ndarray, "start"], names: Sequence[str]) -> str:
    starts, rounds, documents = flows.path.shape
    text = f"{starts:,} starts, rounds 0 to {rounds - 1}, {documents:,} documents"
    agreed = same_fixed_point_share(flows.fixed_point, precision)
    if agreed.fixed_point is None or agreed.reached is None:
        return text
    found = agreed.reached
    return (
        f"{text}\nOf the {found.of:,} starts of precision 0.5 or more, {100 * found.share:.0f} % (95 % interval: "
        f"{100 * found.low:.0f} to {100 * found.high:.0f}) flow to “{_name(names, agreed.fixed_point)}”."
    )


def _draw_flow(
    axes: Axes, flows: Flows, gold: Bool[np.ndarray, "document"], groups: Sequence[_Group]
) -> None:
    """A line for each start in recall and precision, and a star at each fixed point.

    The first start is the unchanged topic.
    """
    precision, recall = precision_and_recall(gold, flows.path)
    points = np.stack([recall, precision], axis=-1)
    for group in groups:
        _draw_lines(axes, list(points[group.starts]), group)
        style: dict[str, Any] = {"facecolors": "white", "edgecolors": group.colour, "zorder": 3}
        axes.scatter(*points[group.starts, 0].T, s=15, **style)
        if group.starred:
            height, across = precision_and_recall(gold, flows.final[group.starts].mean(axis=0, keepdims=True))
            style = {"marker": "*", "s": 420, "edgecolors": "white", "zorder": 6}
            axes.scatter(across, height, c=group.colour, **style)
    style = {"facecolors": "white", "edgecolors": "black", "linewidths": 2, "zorder": 5}
    axes.scatter(*points[0, 0], s=70, **style)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="precision of the members")
    axes.set(xlabel=f"recall: share of the {gold.sum():,} gold documents that are members")
    _dress(axes, "a   Starts flow to a few fixed points")


def _draw_quality(
    axes: Axes, flows: Flows, gold: Bool[np.ndarray, "document"], groups: Sequence[_Group], ceiling_ap: float
) -> None:
    """Final average precision against the start's precision, with the threshold of success.

    A start succeeds if it ends right (`is_right`) at the fixed point that most good starts reach.
    """
    final, precision = average_precisions(gold, flows.final), precisions_at_size(gold, flows.starts)
    for group in groups:
        for certified in (False, True):
            chosen = group.starts & (flows.certified == certified)
            style: dict[str, Any] = {"facecolors": group.colour if certified else "none", "alpha": 0.75}
            axes.scatter(precision[chosen], final[chosen], s=26, edgecolors=group.colour, **style)
    axes.axhline(ceiling_ap, color=INK, linewidth=1.2, linestyle=":")
    axes.annotate(f"trained on gold: {ceiling_ap:.2f}", (0, ceiling_ap), (0, 4), textcoords="offset points")
    point = same_fixed_point_share(flows.fixed_point, precision).fixed_point
    edge = None
    if point is not None:
        edge = threshold(precision, (flows.fixed_point == point) & is_right(final, ceiling_ap))
    if edge is not None:
        axes.axvline(edge, color=INK, linewidth=1.2, linestyle="--")
        axes.annotate(f"half succeed from {edge:.2f}", (edge, 0), (4, 4), textcoords="offset points")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="average precision after the last round")
    axes.set(xlabel="precision of the start, at the concept's true size")
    _dress(axes, "b   What comes out, by what went in")


def _draw_drifts(axes: Axes, flows: Flows, groups: Sequence[_Group]) -> None:
    """Drift of each start, and the median of each fixed point's starts."""
    drift = np.maximum(drifts(flows.path), LEAST_DRIFT)
    steps = np.arange(1, drift.shape[1] + 1)
    for group in groups if len(steps) else ():
        _draw_lines(axes, [np.stack([steps, line], axis=1) for line in drift[group.starts]], group)
        if group.starred:
            median = np.median(drift[group.starts], axis=0)
            axes.plot(steps, median, color=group.colour, linewidth=2.4, zorder=4)
    axes.set(xlabel="round", ylabel="drift (1 − soft Jaccard)", yscale="log", ylim=(LEAST_DRIFT * 0.8, 1.1))
    axes.set_xlim(0.7, len(steps) + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _dress(axes, "c   The flow comes to rest")


def _draw_lines(axes: Axes, lines: Sequence[np.ndarray], group: _Group) -> None:
    alpha = float(np.clip(30 / len(lines), 0.25, 0.7))
    style: dict[str, Any] = {"colors": group.colour, "linestyles": group.style, "alpha": alpha}
    axes.add_collection(LineCollection(list(lines), linewidths=0.8, **style))


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", color=INK)
    axes.spines[["top", "right"]].set_visible(False)


def _handles(groups: Sequence[_Group]) -> list[Line2D]:
    """Entries of the legend: colours of the groups, then marks."""
    lines = [
        Line2D([], [], label=f"{group.name} ({group.starts.sum():,})", color=group.colour, ls=group.style)
        for group in reversed(groups)
    ]
    marks = {
        "start": {"marker": "o", "markersize": 5, "markerfacecolor": "white"},
        "the topic": {"marker": "o", "markersize": 8, "markeredgewidth": 2, "markerfacecolor": "white"},
        "fixed point": {"marker": "*", "markersize": 10},
        "b: filled where certified": {"marker": "o", "markersize": 5},
    }
    style: dict[str, Any] = {"color": "black", "linestyle": "none"}
    return [*lines, *(Line2D([], [], label=label, **style, **mark) for label, mark in marks.items())]
