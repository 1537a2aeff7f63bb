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
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from agent.basin.tracking import drifts
from agent.judging.basin_quality import (
    Flows,
    MembershipQuality,
    SameFixedPoint,
    StartQuality,
    Threshold,
    is_right,
    membership_quality,
    quality_curve,
    same_fixed_point_share,
    start_quality,
    threshold,
)
from agent.judging.figures.labels import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    Label,
    move_apart,
    name_points,
    readable,
)
from agent.membership.similarity import overlap

COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
"""Of the most visited fixed points, in their order."""
OTHER, UNSETTLED, INK, QUIET = GREY, "0.80", "0.15", "0.45"
MARKERS = "osD^vPXph<>*8d"
LEAST_DRIFT = 1e-5
"""Smaller drifts are drawn here."""
LETTERS = 34
"""Maximum length of a fixed point's name."""
LEGEND_LETTERS = 94
"""Letters in a row of a legend."""


@dataclass(frozen=True)
class _Map:
    """The data that the four panels share."""

    flows: Flows
    names: Sequence[str]
    topic_start: int
    start: StartQuality
    path: MembershipQuality
    centres: Float[np.ndarray, "fixed_point document"]
    """Mean final membership of the starts that reached each."""
    at: MembershipQuality
    """Quality of the centres."""
    agreed: SameFixedPoint
    edge: Threshold
    ceiling_ap: float | None
    positive: int
    """Documents inside the concept."""
    documents: int

    def name(self, index: int) -> str:
        known = index < len(self.names) and self.names[index]
        return shorten(self.names[index], LETTERS, placeholder="…") if known else f"fixed point {index + 1}"

    def reached(self, index: int) -> Bool[np.ndarray, "start"]:
        return np.asarray(self.flows.fixed_point == index)

    @property
    def coloured(self) -> range:
        return range(min(len(COLOURS), len(self.centres)))

    @property
    def groups(self) -> list[tuple[str, int, Bool[np.ndarray, "start"]]]:
        """Name, index and starts of each group of lines, common ones first; -1 did not settle."""
        rest = self.flows.fixed_point >= len(COLOURS)
        groups = [("did not settle", -1, self.reached(-1)), ("other fixed points", len(COLOURS), rest)]
        groups += [(self.name(index), index, self.reached(index)) for index in self.coloured]
        return [group for group in groups if group[2].any()]

    @property
    def between(self) -> Float[np.ndarray, "start round axis"]:
        """Overlap with the two most visited fixed points; the start replaces a missing second."""
        path = self.flows.path
        if len(self.centres) == 0:
            return np.full((*path.shape[:2], 2), np.nan)
        other = self.centres[1] if len(self.centres) > 1 else path[:, :1]
        return np.stack([overlap(path, self.centres[0]), overlap(path, other)], axis=-1)


def draw_basin_map(
    path: Path,
    flows: Flows,
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
    *,
    names: Sequence[str],
    ceiling_ap: float | None,
    topic_start: int,
) -> None:
    """Write a PNG of four panels; documents that are not counted are not shown.

    The threshold is the precision from which starts end right (`is_right`) at the fixed point that
    most starts of precision 0.5 or more reach.

    Args:
        names: of the fixed points, the most visited first; the others are numbered.
        ceiling_ap: average precision of a classifier trained on gold labels; None where there is
            none.
        topic_start: the start that is the unchanged topic.

    Raises:
        ValueError: no document is positive, or the fixed points are numbered with gaps.
    """
    view = _map(flows, gold, counted, names=names, ceiling_ap=ceiling_ap, topic_start=topic_start)
    figure = Figure(figsize=(14, 10.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    (plane, curve), (still, between) = figure.subplots(2, 2)
    _draw_plane(plane, view)
    _draw_curve(curve, view)
    margin, ends = _draw_drifts(still, view)
    _draw_between(between, view)
    _add_legends(plane, curve, view)
    figure.suptitle(_headline(view), x=0.012, ha="left", fontsize=15, color=INK, parse_math=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels are placed in pixels, so nothing may move any more
    paths = np.stack([view.path.recall, view.path.precision], axis=-1)
    centres = np.stack([view.at.recall, view.at.precision], axis=-1)
    _name(plane, view, paths, centres)
    at = np.array([overlap(centre, view.centres[:2]) for centre in view.centres])
    _name(between, view, view.between, at if len(view.centres) > 1 else np.zeros((0, 2)))
    move_apart(still, margin, ends)
    figure.savefig(path, format="png", metadata={"Software": None})


def _map(
    flows: Flows, gold: Bool[np.ndarray, "document"], counted: Bool[np.ndarray, "document"], **given: Any
) -> _Map:
    found = range(int(flows.fixed_point.max()) + 1)
    if not set(found) <= set(flows.fixed_point.tolist()):
        raise ValueError("no start reaches some of the fixed points: number them without gaps")
    centres = [flows.final[flows.fixed_point == index].mean(axis=0) for index in found]
    stacked = np.array(centres).reshape(len(found), flows.final.shape[1])
    start, path = start_quality(flows, gold, counted), membership_quality(flows.path, gold, counted)
    agreed = same_fixed_point_share(flows, start)
    good = flows.fixed_point == (-2 if agreed.fixed_point is None else agreed.fixed_point)
    if given["ceiling_ap"] is not None:
        good &= is_right(path.average_precision[:, -1], given["ceiling_ap"])
    return _Map(
        flows=flows,
        start=start,
        path=path,
        centres=stacked,
        at=membership_quality(stacked, gold, counted),
        agreed=agreed,
        edge=threshold(start.precision, good),
        positive=int((gold & counted).sum()),
        documents=int(counted.sum()),
        **given,
    )


def _headline(view: _Map) -> str:
    starts, rounds = view.flows.path.shape[:2]
    text = f"{starts:,} starts, rounds 0 to {rounds - 1}, {view.documents:,} documents"
    agreed, index = view.agreed.reached, view.agreed.fixed_point
    if agreed and index is not None:
        interval = f"95 % interval: {100 * agreed.low:.0f} to {100 * agreed.high:.0f}"
        text += f"\nOf the {agreed.of:,} starts of precision 0.5 or more, {100 * agreed.share:.0f} % "
        text += f"({interval}) flow to “{view.name(index)}”."
    return text


def _colour(index: int) -> str:
    return UNSETTLED if index < 0 else COLOURS[index] if index < len(COLOURS) else OTHER


def _dress(axes: Axes, title: str, **labels: Any) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=22)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10, color=QUIET, labelcolor=INK)
    axes.set(**labels)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_size(11)
        label.set_parse_math(False)


def _draw_lines(
    axes: Axes, view: _Map, points: Float[np.ndarray, "start round axis"], centres: np.ndarray
) -> None:
    """A line for each start, a circle where it begins, and a star at each fixed point."""
    for _, index, chosen in view.groups:
        style: dict[str, Any] = {
            "colors": _colour(index),
            "linestyles": "dashed" if index < 0 else "solid",
            "zorder": 2,
        }
        alpha = float(np.clip(30 / chosen.sum(), 0.25, 0.7))
        axes.add_collection(LineCollection(list(points[chosen]), linewidths=0.8, alpha=alpha, **style))
        style = {"facecolors": "white", "edgecolors": _colour(index), "linewidths": 0.9, "zorder": 3}
        axes.scatter(*points[chosen, 0].T, s=15, **style)
    style = {"facecolors": "white", "edgecolors": "black", "linewidths": 2, "zorder": 5}
    axes.scatter(*points[view.topic_start, 0], s=70, **style)
    for index in reversed(range(len(centres))):
        size = 420 if index < len(COLOURS) else 160
        style = {"marker": "*", "s": size, "edgecolors": "white", "linewidths": 1.2, "zorder": 6}
        axes.scatter(*centres[index], c=_colour(index), **style)


def _draw_plane(axes: Axes, view: _Map) -> None:
    """Recall and precision; rays join claims of the same size."""
    for times, label in ((0.5, "half as many"), (1.0, "as many as there are"), (2.0, "twice as many")):
        end = np.array([1.0, 1 / times]) if times >= 1 else np.array([times, 1.0])
        axes.plot([0, end[0]], [0, end[1]], color="0.85", linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
        style: dict[str, Any] = (
            {"ha": "center", "xytext": (0, 4)} if times < 1 else {"va": "center", "xytext": (5, 0)}
        )
        axes.annotate(label, end, textcoords="offset points", fontsize=8.5, color=QUIET, **style)
    points = np.stack([view.path.recall, view.path.precision], axis=-1)
    _draw_lines(axes, view, points, np.stack([view.at.recall, view.at.precision], axis=-1))
    recall = f"recall: share of the {view.positive:,} gold documents that are members"
    limits = {"xlim": (-0.02, 1.02), "ylim": (-0.02, 1.02)}
    title = "a   Starts flow to a few fixed points"
    _dress(axes, title, xlabel=recall, ylabel="precision of the members", **limits)


def _draw_curve(axes: Axes, view: _Map) -> None:
    """Final average precision against the start's precision."""
    x, y = view.start.precision, view.path.average_precision[:, -1]
    curve = quality_curve(x, y)
    centres = (curve.edges[:-1] + curve.edges[1:]) / 2
    axes.fill_between(centres, curve.low, curve.high, color="0.88", linewidth=0, zorder=0)
    axes.plot(centres, curve.median, color=INK, linewidth=2, zorder=4)
    kinds = np.array(view.flows.kinds)
    for kind, marker in _markers(view.flows).items():
        for certified in (False, True):
            chosen = (kinds == kind) & (view.flows.certified == certified)
            colours = [_colour(int(index)) for index in view.flows.fixed_point[chosen]]
            style: dict[str, Any] = {
                "facecolors": colours if certified else "none",
                "edgecolors": colours,
                "zorder": 3,
            }
            axes.scatter(x[chosen], y[chosen], s=26, marker=marker, linewidths=0.9, alpha=0.75, **style)
    style = {"facecolors": "none", "edgecolors": "black", "linewidths": 2, "zorder": 5}
    axes.scatter(x[view.topic_start], y[view.topic_start], s=90, **style)
    edge, ceiling = view.edge, view.ceiling_ap
    text, at = "", 0.5
    if ceiling is not None:
        axes.axhline(ceiling, color=INK, linewidth=1.2, linestyle=":", zorder=1)
        place = blended_transform_factory(axes.transAxes, axes.transData)
        label = f"trained on\ngold: {ceiling:.2f}"
        axes.text(1.01, ceiling, label, transform=place, va="center", fontsize=10, color=INK)
        text = "" if is_right(y, ceiling).any() else "no start ends right"
    if edge.half is not None:
        axes.axvline(edge.half, color=INK, linewidth=1.2, linestyle="--", zorder=1)
        text, at = f"half of the starts succeed from {edge.half:.2f}", edge.half
        if edge.low is not None and edge.high is not None:
            span = max(edge.low, 0), min(edge.high, 1)
            axes.axvspan(*span, color="#F0E442", alpha=0.35, linewidth=0, zorder=0)
            text += f" ({edge.low:.2f} to {edge.high:.2f})"
    place = blended_transform_factory(axes.transData, axes.transAxes)
    side = "left" if at < 0.35 else "right" if at > 0.65 else "center"
    axes.text(at, 1.015, text, transform=place, ha=side, fontsize=10, color=INK)
    labels = {
        "xlabel": "precision of the start, at the concept's true size",
        "ylabel": "average precision after the last round",
    }
    title = "b   What comes out, by what went in"
    _dress(axes, title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), **labels)


def _draw_drifts(axes: Axes, view: _Map) -> tuple[list[Text], list[float]]:
    """Drift of each start; returns names for the margin and the drifts at which their lines end."""
    drift = drifts(view.flows.path)
    title = "c   The flow comes to rest"
    _dress(axes, title, xlabel="round", ylabel="drift (1 − soft Jaccard)", yscale="log")
    if drift.shape[1] == 0:
        return [], []
    steps, shown = np.arange(1, drift.shape[1] + 1), np.maximum(drift, LEAST_DRIFT)
    texts, ends = [], []
    for name, index, chosen in view.groups:
        lines = [np.stack([steps, line], axis=1) for line in shown[chosen]]
        style: dict[str, Any] = {"linestyles": "dashed" if index < 0 else "solid", "colors": _colour(index)}
        alpha = float(np.clip(30 / len(lines), 0.1, 0.5))
        axes.add_collection(LineCollection(lines, linewidths=0.6, alpha=alpha, **style))
        if index not in view.coloured:
            continue
        median = np.maximum(np.median(drift[chosen], axis=0), LEAST_DRIFT)
        axes.plot(steps, median, color=_colour(index), linewidth=2.4, zorder=4)
        style = {"color": readable(_colour(index)), "fontsize": 10, "fontweight": "bold", "va": "center"}
        text = shorten(name, 24, placeholder="…")
        texts.append(axes.text(1.015, 0.5, text, transform=axes.transAxes, parse_math=False, **style))
        ends.append(float(median[-1]))
    bottom = max(LEAST_DRIFT, 10 ** np.floor(np.log10(np.quantile(shown, 0.02))))
    axes.set(xlim=(0.7, len(steps) + 0.3), ylim=(bottom * 0.8, 1.1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return texts, ends


def _draw_between(axes: Axes, view: _Map) -> None:
    """Overlap with the two most visited fixed points."""
    limits = {"xlim": (-0.03, 1.03), "ylim": (-0.03, 1.03)}
    if len(view.centres) == 0:
        _dress(axes, "d   Between the two most visited fixed points", **limits)
        style: dict[str, Any] = {"ha": "center", "fontsize": 12, "color": QUIET}
        axes.text(0.5, 0.5, "no start settled", transform=axes.transAxes, **style)
        return
    across = f"soft Jaccard with “{view.name(0)}”"
    several = len(view.centres) > 1
    stars = [overlap(centre, view.centres[:2]) for centre in view.centres] if several else []
    _draw_lines(axes, view, view.between, np.array(stars))
    title = "Between the two most visited fixed points" if several else "Towards the one fixed point"
    up = f"soft Jaccard with\n“{view.name(1)}”" if several else "soft Jaccard with the start's first round"
    _dress(axes, f"d   {title}", xlabel=across, ylabel=up, **limits)


def _name(axes: Axes, view: _Map, points: Float[np.ndarray, "start round axis"], centres: np.ndarray) -> None:
    """Name the fixed points and the topic."""
    stars = [Label(view.name(i), tuple(centres[i]), _colour(i)) for i in view.coloured if i < len(centres)]
    topic = Label("the topic", tuple(points[view.topic_start, 0]), "black")
    ends = np.concatenate([points[:, 0], centres])
    name_points(axes, [*stars, topic], ends)


def _add_legends(plane: Axes, curve: Axes, view: _Map) -> None:
    """Colours and marks below panel (a), kinds of starts below panel (b)."""
    lines = []
    for label, index, chosen in view.groups[::-1]:
        style: dict[str, Any] = {
            "color": _colour(index),
            "linestyle": "--" if index < 0 else "-",
            "linewidth": 2.4,
        }
        lines.append(Line2D([], [], label=f"{label} ({chosen.sum():,})", **style))
    black: dict[str, Any] = {"color": "black", "linestyle": "none", "markerfacecolor": "white"}
    lines.append(Line2D([], [], marker="o", label="start", markersize=5, **black))
    lines.append(Line2D([], [], marker="o", label="the topic", markersize=8, markeredgewidth=2, **black))
    lines.append(Line2D([], [], marker="*", label="fixed point", color="black", linestyle="none"))
    quiet: dict[str, Any] = {"color": QUIET, "linestyle": "none", "markersize": 6}
    marks = [Line2D([], [], marker=mark, label=kind, **quiet) for kind, mark in _markers(view.flows).items()]
    marks.append(Line2D([], [], marker="o", label="filled: certified", **quiet))
    marks.append(Line2D([], [], marker="o", label="open: not certified", markerfacecolor="white", **quiet))
    marks.append(Line2D([], [], color=INK, linewidth=2, label="median and middle 80 %"))
    for axes, handles in (plane, lines), (curve, marks):
        columns = max(1, LEGEND_LETTERS // (5 + max(len(str(each.get_label())) for each in handles)))
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": columns}
        legend = axes.legend(handles=handles, frameon=False, fontsize=9.5, handlelength=1.6, **place)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _markers(flows: Flows) -> dict[str, str]:
    """A marker for each kind of start."""
    return {kind: MARKERS[at % len(MARKERS)] for at, kind in enumerate(dict.fromkeys(flows.kinds))}
