"""The picture of a sweep of starts: where all of them flow, and how good that is.

Its numbers are written beside it as CSV. Documents that are not counted are not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
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
    contraction,
    is_right,
    membership_quality,
    path_quality,
    quality_curve,
    same_fixed_point_share,
    start_quality,
    threshold,
)
from agent.judging.figures.labels import Label, move_apart, name_points, readable
from agent.judging.figures.run import BLUE, GREEN, GREY, PURPLE, VERMILION, write_table
from agent.membership.similarity import overlap

COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
"""Of the most visited fixed points, in their order."""
OTHER, UNSETTLED, INK, QUIET = GREY, "0.80", "0.15", "0.45"
MARKERS = "osD^vPXph<>*8d"
ROW = 94
"""Letters that a row of a legend has room for."""
LEAST_DRIFT = 1e-5
"""Smaller drifts are drawn here."""
FEWEST = 3
"""Starts that make a median worth drawing."""
SHORT, MARGIN = 34, 24
"""Letters of a name or title that are shown, and of a name in a margin."""


@dataclass(frozen=True)
class _Map:
    """What the four panels share."""

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

    def name(self, index: int) -> str:
        known = index < len(self.names) and self.names[index]
        return shorten(self.names[index], SHORT, placeholder="…") if known else f"fixed point {index + 1}"

    def reached(self, index: int) -> Bool[np.ndarray, "start"]:
        return self.flows.fixed_point == index

    @property
    def coloured(self) -> range:
        return range(min(len(COLOURS), len(self.centres)))


def draw_basin_map(
    path: Path,
    flows: Flows,
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
    names: Sequence[str],
    *,
    ceiling_ap: float | None,
    topic_start: int,
) -> None:
    """Write a PNG of four panels, and its numbers as CSV under the same name.

    The threshold speaks of starts that end right (`is_right`), at the fixed point that most starts of precision 0.5 or
    more reach.

    Args:
        names: of the fixed points, the most visited first; short. Those beyond it are numbered.
        ceiling_ap: average precision of a classifier trained on gold labels; None where there is none.
        topic_start: which start is the topic as it is.

    Raises:
        ValueError: no document is positive, or the fixed points are numbered with gaps.
    """
    view = _map(flows, gold, counted, names, topic_start, ceiling_ap)
    figure = Figure(figsize=(14, 10.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08, hspace=0.05, wspace=0.03)
    (plane, curve), (still, between) = figure.subplots(2, 2)
    _draw_plane(plane, view, int((gold & counted).sum()))
    _draw_curve(curve, view, ceiling_ap)
    ends = _draw_drifts(still, view)
    _draw_between(between, view)
    _legends(plane, curve, view)
    figure.suptitle(
        _headline(view, int(counted.sum())), x=0.012, ha="left", fontsize=15, color=INK, parse_math=False
    )
    # Labels are placed by what is where, in pixels; nothing may move after that.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    name_points(plane, _plane_labels(view), np.stack([view.path.recall, view.path.precision], axis=-1))
    name_points(between, _between_labels(view), np.stack(_between(view), axis=-1))
    move_apart(still, *ends)
    figure.savefig(path, format="png", metadata={"Software": None})
    _write_map(path.with_suffix(".csv"), view, ceiling_ap)


def _map(
    flows: Flows,
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
    names: Sequence[str],
    topic_start: int,
    ceiling_ap: float | None,
) -> _Map:
    found = range(int(flows.fixed_point.max()) + 1)
    if not set(found) <= set(flows.fixed_point.tolist()):
        raise ValueError("no start reaches some of the fixed points: number them without gaps")
    centres = [flows.final[flows.fixed_point == index].mean(axis=0) for index in found]
    centres = np.array(centres).reshape(len(found), flows.final.shape[1])
    start = start_quality(flows, gold, counted)
    agreed = same_fixed_point_share(flows, start)
    good = flows.fixed_point == (-2 if agreed.fixed_point is None else agreed.fixed_point)
    ways = path_quality(flows, gold, counted)
    if ceiling_ap is not None:
        good &= is_right(ways.average_precision[:, -1], ceiling_ap)
    edge = threshold(start.precision, good)
    at = membership_quality(centres, gold, counted)
    return _Map(flows, names, topic_start, start, ways, centres, at, agreed, edge)


def _headline(view: _Map, documents: int) -> str:
    starts, rounds = view.flows.path.shape[:2]
    text = f"{starts:,} starts, rounds 0 to {rounds - 1}, {documents:,} documents"
    agreed, index = view.agreed.reached, view.agreed.fixed_point
    if agreed and index is not None:
        interval = f"95 % interval: {100 * agreed.low:.0f} to {100 * agreed.high:.0f}"
        text += (
            f"\nOf the {agreed.of:,} starts of precision 0.5 or more, {100 * agreed.share:.0f} % ({interval})"
        )
        text += f" flow to “{view.name(index)}”."
    return text


def _colour(index: int) -> str:
    return UNSETTLED if index < 0 else COLOURS[index] if index < len(COLOURS) else OTHER


def _title(axes: Axes, letter: str, text: str) -> None:
    axes.set_title(f"{letter}   {text}", loc="left", fontsize=13, fontweight="bold", color=INK, pad=22)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10, color=QUIET, labelcolor=INK)
    axes.xaxis.label.set_size(11)
    axes.yaxis.label.set_size(11)


def _flow_lines(axes: Axes, view: _Map, across: np.ndarray, up: np.ndarray) -> None:
    """A line for every start through [start round] coordinates, and a circle where it begins; rare ends above common ones."""
    groups = [(index, view.reached(index)) for index in view.coloured]
    rest = view.flows.fixed_point >= len(COLOURS)
    for index, chosen in [(-1, view.reached(-1)), (len(COLOURS), rest), *groups]:
        if chosen.any():
            lines = np.stack([across[chosen], up[chosen]], axis=-1)
            style = {"linestyles": "dashed" if index < 0 else "solid", "colors": _colour(index), "zorder": 2}
            axes.add_collection(
                LineCollection(list(lines), linewidths=0.8, alpha=_faint(len(lines), 0.25, 0.7), **style)
            )
            style = {"facecolors": "white", "edgecolors": _colour(index), "linewidths": 0.9, "zorder": 3}
            axes.scatter(across[chosen, 0], up[chosen, 0], s=15, **style)
    topic = view.topic_start
    style = {"facecolors": "white", "edgecolors": "black", "linewidths": 2, "zorder": 5}
    axes.scatter(across[topic, :1], up[topic, :1], s=70, **style)


def _faint(lines: int, least: float, most: float) -> float:
    """Opacity by which a crowd of lines stays readable."""
    return float(np.clip(30 / lines, least, most))


def _star(axes: Axes, index: int, at: tuple[float, float]) -> None:
    style = {"marker": "*", "s": 420 if index < len(COLOURS) else 160, "zorder": 6}
    axes.scatter(*at, c=_colour(index), edgecolors="white", linewidths=1.2, **style)


def _draw_plane(axes: Axes, view: _Map, positive: int) -> None:
    """Recall and precision of what is claimed; rays join claims of the same size."""
    for times, label in ((0.5, "half as many"), (1.0, "as many as there are"), (2.0, "twice as many")):
        end = np.array([1.0, 1 / times]) if times >= 1 else np.array([times, 1.0])
        axes.plot([0, end[0]], [0, end[1]], color="0.85", linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
        if times < 1:
            axes.annotate(
                label, end, (0, 4), textcoords="offset points", ha="center", fontsize=8.5, color=QUIET
            )
        else:
            axes.annotate(
                label, end, (5, 0), textcoords="offset points", va="center", fontsize=8.5, color=QUIET
            )
    _flow_lines(axes, view, view.path.recall, view.path.precision)
    for index in reversed(range(len(view.centres))):
        _star(axes, index, (view.at.recall[index], view.at.precision[index]))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(
        xlabel=f"recall: share of the {positive:,} gold documents that are members",
        ylabel="precision of the members",
    )
    _title(axes, "a", "Starts flow to a few fixed points")


def _draw_curve(axes: Axes, view: _Map, ceiling_ap: float | None) -> None:
    """Final average precision against the start's precision."""
    x, y = view.start.precision, view.path.average_precision[:, -1]
    curve = quality_curve(x, y)
    drawn = curve.count >= FEWEST
    centres = (curve.edges[:-1] + curve.edges[1:]) / 2
    levels = [np.where(drawn, each, np.nan) for each in (curve.low, curve.median, curve.high)]
    axes.fill_between(centres, levels[0], levels[2], color="0.88", linewidth=0, zorder=0)
    axes.plot(centres, levels[1], color=INK, linewidth=2, zorder=4)
    for kind, marker in _marks(view.flows).items():
        for certified in (False, True):
            chosen = np.array([each == kind for each in view.flows.kinds]) & (
                view.flows.certified == certified
            )
            colours = [_colour(int(index)) for index in view.flows.fixed_point[chosen]]
            faces = colours if certified else "none"
            style = {"marker": marker, "s": 26, "facecolors": faces, "edgecolors": colours, "zorder": 3}
            axes.scatter(x[chosen], y[chosen], linewidths=0.9, alpha=0.75, **style)
    style = {"facecolors": "none", "edgecolors": "black", "linewidths": 2, "zorder": 5}
    axes.scatter(x[view.topic_start], y[view.topic_start], s=90, **style)
    edge = view.edge
    if ceiling_ap is not None and not is_right(y, ceiling_ap).any():
        axes.text(
            0.5, 1.015, "no start ends right", transform=axes.transAxes, ha="center", fontsize=10, color=INK
        )
    if edge.half is not None:
        axes.axvline(edge.half, color=INK, linewidth=1.2, linestyle="--", zorder=1)
        text = f"half of the starts succeed from {edge.half:.2f}"
        if edge.low is not None:
            axes.axvspan(
                max(edge.low, 0), min(edge.high, 1), color="#F0E442", alpha=0.35, linewidth=0, zorder=0
            )
            text += f" ({edge.low:.2f} to {edge.high:.2f})"
        place = blended_transform_factory(axes.transData, axes.transAxes)
        side = "left" if edge.half < 0.35 else "right" if edge.half > 0.65 else "center"
        axes.text(edge.half, 1.015, text, transform=place, ha=side, fontsize=10, color=INK)
    if ceiling_ap is not None:
        axes.axhline(ceiling_ap, color=INK, linewidth=1.2, linestyle=":", zorder=1)
        place = blended_transform_factory(axes.transAxes, axes.transData)
        label = f"trained on\ngold: {ceiling_ap:.2f}"
        axes.text(1.01, ceiling_ap, label, transform=place, va="center", fontsize=10, color=INK)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(
        xlabel="precision of the start, at the concept's true size",
        ylabel="average precision after the last round",
    )
    _title(axes, "b", "What comes out, by what went in")


def _draw_drifts(axes: Axes, view: _Map) -> tuple[list[Text], list[float]]:
    """Drift of every start; gives back the names in the margin, and at which drifts their lines end."""
    drift = drifts(view.flows.path)
    axes.set(xlabel="round", ylabel="drift (1 − soft Jaccard)", yscale="log")
    _title(axes, "c", "The flow comes to rest")
    if drift.shape[1] == 0:
        return [], []
    steps, shown = np.arange(1, drift.shape[1] + 1), np.maximum(drift, LEAST_DRIFT)
    for index in sorted(set(view.flows.fixed_point.tolist()), reverse=True):
        style = {"linestyles": "dashed" if index < 0 else "solid", "colors": _colour(index)}
        lines = [np.stack([steps, line], axis=1) for line in shown[view.reached(index)]]
        axes.add_collection(
            LineCollection(lines, linewidths=0.6, alpha=_faint(len(lines), 0.1, 0.5), **style)
        )
    texts, ends = [], []
    for index in reversed(view.coloured):
        median = np.median(drift[view.reached(index)], axis=0)
        line = np.maximum(median, LEAST_DRIFT)
        outline = [withStroke(linewidth=4, foreground="white")]
        axes.plot(steps, line, color=_colour(index), linewidth=2.4, path_effects=outline, zorder=4)
        rate = contraction(median)
        text = shorten(view.name(index), MARGIN, placeholder="…")
        if rate:
            text += f"\n×{rate.rate:.2f} a round"
            span = np.arange(rate.first, min(rate.last + 3, len(steps)))
            fitted = rate.drift_at_first * rate.rate ** (span - rate.first)
            axes.plot(
                span + 1,
                np.maximum(fitted, LEAST_DRIFT),
                color="black",
                linewidth=1.6,
                linestyle=":",
                zorder=5,
            )
        style = {"color": readable(_colour(index)), "fontsize": 10, "fontweight": "bold", "va": "center"}
        texts.append(axes.text(1.015, 0.5, text, transform=axes.transAxes, parse_math=False, **style))
        ends.append(float(line[-1]))
    bottom = max(LEAST_DRIFT, 10 ** np.floor(np.log10(np.quantile(shown, 0.02))))
    axes.set(xlim=(0.7, len(steps) + 0.3), ylim=(bottom * 0.8, 1.1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return texts, ends


def _draw_between(axes: Axes, view: _Map) -> None:
    """Overlap with the two most visited fixed points."""
    _title(axes, "d", "Between the two most visited fixed points")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    if len(view.centres) == 0:
        style = {"ha": "center", "fontsize": 12, "color": QUIET}
        axes.text(0.5, 0.5, "no start settled", transform=axes.transAxes, **style)
        return
    _flow_lines(axes, view, *_between(view))
    axes.set_xlabel(f"soft Jaccard with “{view.name(0)}”", parse_math=False)
    if len(view.centres) == 1:
        _title(axes, "d", "Towards the one fixed point")
        axes.set_ylabel("soft Jaccard with the start's first round")
        return
    axes.set_ylabel(f"soft Jaccard with\n“{view.name(1)}”", parse_math=False)
    for index in reversed(range(len(view.centres))):
        _star(axes, index, _place_between(view, index))


def _plane_labels(view: _Map) -> list[Label]:
    shown = list(view.coloured)
    places = [(float(view.at.recall[index]), float(view.at.precision[index])) for index in shown]
    topic = float(view.path.recall[view.topic_start, 0]), float(view.path.precision[view.topic_start, 0])
    labels = [
        Label(view.name(index), place, _colour(index)) for index, place in zip(shown, places, strict=True)
    ]
    return [*labels, Label("the topic", topic, "black")]


def _between_labels(view: _Map) -> list[Label]:
    across, up = _between(view)
    topic = Label("the topic", (float(across[view.topic_start, 0]), float(up[view.topic_start, 0])), "black")
    if len(view.centres) < 2:
        return [topic]
    stars = [Label(view.name(index), _place_between(view, index), _colour(index)) for index in view.coloured]
    return [*stars, topic]


def _place_between(view: _Map, index: int) -> tuple[float, float]:
    return tuple(overlap(view.centres[index], view.centres[:2]).tolist())


def _between(view: _Map) -> tuple[Float[np.ndarray, "start round"], Float[np.ndarray, "start round"]]:
    """Overlap of every round with the first fixed point and with the second; with the start where there is no second."""
    path = view.flows.path
    if len(view.centres) == 0:
        return np.full(path.shape[:2], np.nan), np.full(path.shape[:2], np.nan)
    other = view.centres[1] if len(view.centres) > 1 else path[:, :1]
    return overlap(path, view.centres[0]), overlap(path, other)


def _legends(plane: Axes, curve: Axes, view: _Map) -> None:
    """Below (a) what colours and marks mean in all panels; below (b) the kinds of starts."""
    quiet = {"color": QUIET, "linestyle": "none", "markersize": 6}
    hollow = {"markerfacecolor": "white", "markeredgewidth": 1}
    marks = [Line2D([], [], marker=mark, label=kind, **quiet) for kind, mark in _marks(view.flows).items()]
    marks.append(Line2D([], [], marker="o", label="filled: certified", **quiet))
    marks.append(Line2D([], [], marker="o", label="open: not certified", **quiet | hollow))
    marks.append(Line2D([], [], color=INK, linewidth=2, label=f"median of {FEWEST} or more"))
    marks.append(Patch(color="0.88", label="middle 80 % of them"))
    groups = [(view.name(index), index, view.reached(index)) for index in view.coloured]
    groups.append(("other fixed points", len(COLOURS), view.flows.fixed_point >= len(COLOURS)))
    groups.append(("did not settle", -1, view.reached(-1)))
    lines = []
    for label, index, chosen in groups:
        if chosen.any():
            style = {"color": _colour(index), "linestyle": "--" if index < 0 else "-", "linewidth": 2.4}
            lines.append(Line2D([], [], label=f"{label} ({chosen.sum():,})", **style))
    black = {"color": "black", "linestyle": "none"}
    lines.append(Line2D([], [], marker="o", label="start", **black | hollow, markersize=5))
    topic = black | hollow | {"markeredgewidth": 2, "markersize": 8}
    lines.append(Line2D([], [], marker="o", label="the topic", **topic))
    lines.append(Line2D([], [], marker="*", label="fixed point", **black, markersize=13))
    for axes, handles in (plane, lines), (curve, marks):
        columns = max(1, ROW // (5 + max(len(each.get_label()) for each in handles)))
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": columns, "frameon": False}
        style = {"fontsize": 9.5, "handlelength": 1.6, "handletextpad": 0.5, "columnspacing": 1.4}
        for text in axes.legend(handles=handles, **place, **style).get_texts():
            text.set_parse_math(False)


def _marks(flows: Flows) -> dict[str, str]:
    """A marker for every kind of start, in the order in which they come."""
    kinds = list(dict.fromkeys(flows.kinds))
    return {kind: MARKERS[at % len(MARKERS)] for at, kind in enumerate(kinds)}


def _write_map(path: Path, view: _Map, ceiling_ap: float | None) -> None:
    """A row for every start and round; then the fixed points, the threshold and the ceiling."""
    flows = view.flows
    drift = np.pad(drifts(flows.path), ((0, 0), (1, 0)), constant_values=np.nan)
    across, up = _between(view)
    columns = [
        "kind",
        "level",
        "start",
        "fixed_point",
        "name",
        "certified",
        "start_precision",
        "start_ap",
        "round",
    ]
    columns += ["precision", "recall", "average_precision", "drift", "overlap_first", "overlap_second"]
    rows: list[dict[str, object]] = []
    for start, (kind, level) in enumerate(zip(flows.kinds, flows.levels, strict=True)):
        index = int(flows.fixed_point[start])
        own = {"kind": kind, "level": level, "start": start, "fixed_point": index}
        own |= {"name": view.name(index) if index >= 0 else "", "certified": int(flows.certified[start])}
        own |= {
            "start_precision": view.start.precision[start],
            "start_ap": view.start.average_precision[start],
        }
        for number in range(flows.path.shape[1]):
            at = (start, number)
            row = own | {
                "round": number,
                "drift": drift[at],
                "overlap_first": across[at],
                "overlap_second": up[at],
            }
            rows.append(row | _quality(view.path, at))
    for index in range(len(view.centres)):
        rows.append(
            {"kind": "fixed point", "fixed_point": index, "name": view.name(index)} | _quality(view.at, index)
        )
    edge = {"threshold": view.edge.half, "threshold low": view.edge.low, "threshold high": view.edge.high}
    rows += [{"kind": kind, "start_precision": value} for kind, value in edge.items()]
    rows.append({"kind": "ceiling", "average_precision": ceiling_ap})
    write_table(path, columns, rows)


def _quality(measured: MembershipQuality, at: int | tuple[int, int]) -> dict[str, float]:
    names = ("precision", "recall", "average_precision")
    return {name: float(getattr(measured, name)[at]) for name in names}
