"""The figure of a run: its passages, topic against concept, and progress by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA

from agent.concept import Concept, Readout
from agent.judging.average_precision import MeasuredRun, Row
from agent.judging.figures.labels import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION

GOLD_CAPTION = "gold label, not known to the loop"


@dataclass(frozen=True)
class GeneratedPoints:
    """Generated passages to mark among the real ones."""

    activations: Float[np.ndarray, "text layer width"]
    kinds: Sequence[str]
    """`steered` or `base`, for every text."""


@dataclass(frozen=True)
class Plane:
    """A fixed linear view of activations."""

    project: Float[np.ndarray, "feature axis"]
    offset: Float[np.ndarray, "axis"]
    labels: tuple[str, str]

    def __call__(self, activations: Float[np.ndarray, "text layer width"]) -> Float[np.ndarray, "text axis"]:
        """Coordinates of texts, [text, 2]."""
        flat = activations.reshape(len(activations), -1).astype(np.float64)
        return np.asarray(flat @ self.project + self.offset)


def draw(
    path: Path,
    run: MeasuredRun,
    rows: Sequence[Row] = (),
    generated: GeneratedPoints | None = None,
    gold: Bool[np.ndarray, "passage"] | None = None,
) -> None:
    """Write a PNG of a run that has at least one round after the pointer.

    Left: real and generated passages in a plane of the activation space. Middle: each passage's
        log-odds by topic and concept. Right: average precision by round (where labels are known)
        and drift. Gold labels are hollow markers with the caption that the loop did not know them.

    Args:
        rows: `measure_run`'s; empty where the corpus has no labels.
        gold: label of every real passage.
    """
    pointer, concept = run.rounds[0].concept, run.rounds[-1].concept
    figure = Figure(figsize=(17, 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1.05, 1.05, 0.9))
    _draw_plane(left.subplots(), run, concept, generated, gold)
    _draw_exchange(middle.subplots(), pointer, concept, gold)
    precision, drift = right.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw_precision(precision, rows)
    _draw_drift(drift, run)
    figure.savefig(path, format="png", metadata={"Software": None})


def plane(activations: Float[np.ndarray, "passage layer width"], readout: Readout | None) -> Plane:
    """The readout's evidence (nats) and the leading principal component orthogonal to it.

    Features are standardised first, so that no single large dimension dominates. Without a readout,
    the two leading principal components.
    """
    flat = activations.reshape(len(activations), -1).astype(np.float64)
    centre, spread = flat.mean(axis=0), flat.std(axis=0)
    spread[spread == 0] = 1
    standard = (flat - centre) / spread
    if readout is None:
        axes = PCA(2, svd_solver="randomized", random_state=0).fit(standard).components_
        labels = ("first principal component", "second principal component")
        bias = np.zeros(2)
    else:
        weights = readout.weights.reshape(-1) * spread
        direction = weights / max(np.linalg.norm(weights), 1e-12)
        rest = standard - np.outer(standard @ direction, direction)
        axes = np.stack([weights, PCA(1, svd_solver="randomized", random_state=0).fit(rest).components_[0]])
        labels = ("the concept's evidence in the passage alone (nats)", "leading direction beside it")
        bias = np.array([readout.bias + centre @ readout.weights.reshape(-1), 0.0])
    project = (axes / spread).T
    return Plane(project, bias - centre @ project, labels)


def _draw_plane(
    axes: Axes,
    run: MeasuredRun,
    concept: Concept,
    generated: GeneratedPoints | None,
    gold: Bool[np.ndarray, "passage"] | None,
) -> None:
    view = plane(run.activations, concept.readout)
    points, inside = view(run.activations), concept.inside
    axes.scatter(*points[~inside].T, s=9, c=GREY, linewidths=0, label=f"outside ({(~inside).sum():,})")
    axes.scatter(*points[inside].T, s=13, c=BLUE, linewidths=0, alpha=0.8, label=f"member ({inside.sum():,})")
    _mark_gold(axes, points, gold)
    marks = {
        "base": ("X", ORANGE, "written by the base model"),
        "steered": ("^", VERMILION, "written, steered"),
    }
    everything = [points]
    for kind, (marker, colour, label) in marks.items():
        chosen = (
            np.array([each == kind for each in generated.kinds]) if generated else np.zeros(0, dtype=bool)
        )
        if generated and chosen.any():
            written = view(generated.activations[chosen])
            everything.append(written)
            style = {"marker": marker, "c": colour, "edgecolors": "black", "linewidths": 0.6}
            axes.scatter(*written.T, s=42, label=f"{label} ({len(written)})", **style)
    _limit(axes, np.concatenate(everything))
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], title="Passages in the model's activations")
    _legend(axes)


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
    _mark_gold(axes, points, gold)
    for line, scores, claimed in ((axes.axvline, points[:, 0], before), (axes.axhline, points[:, 1], after)):
        bound = _boundary(scores, claimed)
        if bound is not None:
            line(bound, color="black", linewidth=0.9, linestyle="--", zorder=0)
    _limit(axes, points)
    axes.set(
        xlabel="topic, over the document (log-odds, nats)",
        ylabel="concept, over the document (log-odds, nats)",
    )
    axes.set_title("The topic's ellipse and the concept (dashed: their edges)")
    _legend(axes)


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


def _draw_drift(axes: Axes, run: MeasuredRun) -> None:
    drifts = [(each.concept.round, each.metrics.get("drift")) for each in run.rounds]
    known = [(number, float(drift)) for number, drift in drifts if drift is not None]
    axes.plot(*zip(*known, strict=True) if known else ([], []), color="black", marker="o", markersize=4)
    axes.set(xlabel="round", ylabel="drift", xlim=(-0.3, run.rounds[-1].concept.round + 0.3))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _mark_gold(
    axes: Axes, points: Float[np.ndarray, "passage axis"], gold: Bool[np.ndarray, "passage"] | None
) -> None:
    if gold is not None:
        style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.6}
        axes.scatter(*points[gold].T, s=36, label=f"{GOLD_CAPTION} ({gold.sum():,})", **style)


def _boundary(scores: Float[np.ndarray, "passage"], claimed: Bool[np.ndarray, "passage"]) -> float | None:
    """The score that separates claimed passages from others; None where no single score does."""
    if claimed.all() or not claimed.any() or scores[~claimed].max() > scores[claimed].min():
        return None
    return float(scores[~claimed].max() + scores[claimed].min()) / 2


def _limit(axes: Axes, points: Float[np.ndarray, "text axis"]) -> None:
    """Limit the axes to all but the farthest two in a thousand on each side."""
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-9)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 2}
    axes.legend(handles, labels, fontsize=8, title="passages", title_fontsize=8, frameon=False, **place)
