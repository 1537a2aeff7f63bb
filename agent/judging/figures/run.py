"""The figure of a run: topic against concept, and progress by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agent.concept import Concept
from agent.judging.average_precision import MeasuredRound, Row

BLUE, GREEN, VERMILION, PURPLE, GREY = "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#B8B8B8"
"""From the palette of Okabe and Ito, safe for colour-blind readers; markers differ as well."""
GOLD_CAPTION = "gold label, not known to the loop"


def draw(
    path: Path,
    rounds: Sequence[MeasuredRound],
    rows: Sequence[Row] = (),
    gold: Bool[np.ndarray, "passage"] | None = None,
) -> None:
    """Write a PNG of a run that has at least one round after the pointer.

    Left: each passage's log-odds by topic and concept. Right: average precision by round (where
    labels are known) and drift. Gold labels are hollow markers with the caption that the loop did
    not know them.

    Args:
        rounds: all of the run, the first of which is the pointer.
        rows: `measure_run`'s; empty where the corpus has no labels.
        gold: label of every real passage.
    """
    figure = Figure(figsize=(12, 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(1.05, 0.9))
    _draw_exchange(left.subplots(), rounds[0].concept, rounds[-1].concept, gold)
    curves = _curves(rounds[-1])
    rounds_of, lesson = right.subfigures(2, 1, height_ratios=(3, 1)) if curves else (right, None)
    precision, drift = rounds_of.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw_precision(precision, rows)
    _draw_drift(drift, rounds)
    if lesson is not None:
        _draw_lesson(lesson.subplots(), curves)
    figure.savefig(path, format="png", metadata={"Software": None})


def _draw_exchange(
    axes: Axes, pointer: Concept, concept: Concept, gold: Bool[np.ndarray, "passage"] | None
) -> None:
    before, after = pointer.inside, concept.inside
    points = np.stack([pointer.pooled, concept.pooled], axis=1)
    groups = (
        ("neither", ~before & ~after, GREY, "o"),
        ("in both", before & after, BLUE, "o"),
        ("in the topic's ellipse, thrown out", before & ~after, VERMILION, "v"),
        ("outside the ellipse, taken in", after & ~before, GREEN, "D"),
    )
    for label, chosen, colour, marker in groups:
        label = f"{label} ({chosen.sum():,})"
        axes.scatter(*points[chosen].T, s=14, c=colour, marker=marker, linewidths=0, alpha=0.8, label=label)
    if gold is not None:
        style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.6}
        axes.scatter(*points[gold].T, s=36, label=f"{GOLD_CAPTION} ({gold.sum():,})", **style)
    for line, scores, claimed in ((axes.axvline, points[:, 0], before), (axes.axhline, points[:, 1], after)):
        bound = _boundary(scores, claimed)
        if bound is not None:
            line(bound, color="black", linewidth=0.9, linestyle="--", zorder=0)
    axes.set(
        xlabel="topic, over the document (log-odds, nats)",
        ylabel="concept, over the document (log-odds, nats)",
    )
    axes.set_title("The topic's ellipse and the concept (dashed: their edges)")
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 2}
    axes.legend(fontsize=8, title="passages", title_fontsize=8, frameon=False, **place)


def _draw_precision(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set(ylabel="average precision", title="Round by round")
    if not rows:
        axes.text(0.5, 0.5, "this corpus has no gold labels", ha="center", transform=axes.transAxes)
        return
    rounds = [row["round"] for row in rows]
    readings = (("", "passage alone", BLUE, "o"), ("_pooled", "with its document", PURPLE, "s"))
    for suffix, label, colour, marker in readings:
        values = [row[f"ap_concept{suffix}"] for row in rows]
        axes.plot(rounds, values, color=colour, marker=marker, markersize=5, label=f"concept, {label}")
        for name, style in (("topic", ":"), ("ceiling", "--")):
            level = rows[0][f"ap_{name}{suffix}"]
            if level is not None:
                axes.axhline(level, color=colour, linestyle=style, linewidth=1.2, label=f"{name}, {label}")
    axes.margins(y=0.08)
    axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.04), frameon=False)


def _draw_drift(axes: Axes, rounds: Sequence[MeasuredRound]) -> None:
    drifts = [(each.concept.round, each.metrics.get("drift")) for each in rounds]
    known = [(number, float(drift)) for number, drift in drifts if drift is not None]
    axes.plot(*zip(*known, strict=True) if known else ([], []), color="black", marker="o", markersize=4)
    axes.set(xlabel="round", ylabel="drift", xlim=(-0.3, rounds[-1].concept.round + 0.3))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _curves(last: MeasuredRound) -> dict[str, list[tuple[float, float]]]:
    """(tokens, nats per token) of held-out members and others along the round's lesson."""
    found = {side: str(last.metrics.get(f"{side}_loss_curve", "")).split() for side in ("member", "other")}
    return {
        side: [(float(pair.split(":")[0]), float(pair.split(":")[1])) for pair in pairs]
        for side, pairs in found.items()
        if pairs
    }


def _draw_lesson(axes: Axes, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    for side, colour, marker in (("member", BLUE, "o"), ("other", VERMILION, "v")):
        if side in curves:
            label = f"held-out {side}s"
            axes.plot(
                *zip(*curves[side], strict=True), color=colour, marker=marker, markersize=4, label=label
            )
    axes.set(xlabel="tokens of the last lesson", ylabel="nats per token")
    axes.legend(fontsize=8, frameon=False)


def _boundary(scores: Float[np.ndarray, "passage"], claimed: Bool[np.ndarray, "passage"]) -> float | None:
    """The score that separates claimed passages from others; None where no single score does."""
    if claimed.all() or not claimed.any() or scores[~claimed].max() > scores[claimed].min():
        return None
    return float(scores[~claimed].max() + scores[claimed].min()) / 2
