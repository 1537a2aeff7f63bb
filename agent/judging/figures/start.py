"""The figure of one start: each document's membership by round, and the quality of the memberships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from agent.judging.basin_quality import (
    Flows,
    MembershipQuality,
    membership_quality,
)
from agent.judging.figures.labels import BLUE, GREEN, VERMILION, move_apart, spread

NAMED = 3
"""Documents to name that rose most, and that fell most."""
TITLE = 34
"""Maximum length of a title."""


def draw_path(
    path: Path,
    flows: Flows,
    which: int,
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
    *,
    titles: Sequence[str],
) -> None:
    """Write a PNG of the start with index `which`; `titles` are of all documents."""
    documents = np.flatnonzero(counted)
    final = flows.final[which]
    documents = documents[np.lexsort((-final[documents], ~gold[documents]))]
    membership = flows.path[which][:, documents].T
    quality = membership_quality(flows.path[which], gold, counted)
    figure = Figure(figsize=(13, 9.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    strip, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1.25))
    image = _draw_strip(strip, membership, int(gold[documents].sum()))
    _draw_quality(below, quality)
    moved = _moved(membership)
    changes = membership[moved, -1] - membership[moved, 0]
    names = [shorten(titles[documents[each]], TITLE, placeholder="…") for each in moved]
    texts = _name_rows(strip, changes, names)
    place = {"location": "left", "shrink": 0.5, "pad": 0.02, "label": "membership", "ticks": [0, 0.5, 1]}
    figure.colorbar(image, ax=strip, **place)
    kind, level = flows.kinds[which], flows.levels[which]
    figure.suptitle(f"One start, document by document: {kind} ({level:.2g})", x=0.012, ha="left", fontsize=15)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    _join_rows(strip, moved, texts)
    figure.savefig(path, format="png", metadata={"Software": None})


def _draw_strip(axes: Axes, membership: Float[np.ndarray, "document round"], positive: int) -> AxesImage:
    style = {"cmap": "Blues", "vmin": 0, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
    image = axes.imshow(membership, **style)
    axes.axhline(positive - 0.5, color="black", linewidth=1.2)
    total = len(membership)
    groups = ((positive / 2, positive, "gold"), ((positive + total) / 2, total - positive, "others"))
    axes.set_yticks(
        [at - 0.5 for at, count, _ in groups if count],
        [f"{name}\n({count:,})" for _, count, name in groups if count],
    )
    axes.tick_params(length=0, labelsize=11, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "each row a document, by membership in the last round", loc="left", fontsize=11, color="0.45"
    )
    return image


def _draw_quality(axes: Axes, quality: MembershipQuality) -> None:
    """Average precision, precision and recall by round."""
    lines = {
        "average precision": (quality.average_precision, BLUE, "-", 2.4),
        "precision": (quality.precision, VERMILION, "--", 1.4),
        "recall": (quality.recall, GREEN, ":", 1.8),
    }
    rounds, ends = np.arange(len(quality.recall)), []
    for values, colour, line, width in lines.values():
        axes.plot(rounds, values, color=colour, linestyle=line, linewidth=width, marker="o", markersize=3)
        ends.append(float(np.nan_to_num(values[-1])))
    for (name, (values, colour, *_)), height in zip(lines.items(), spread(np.array(ends), 0.13), strict=True):
        place = blended_transform_factory(axes.transAxes, axes.transData)
        text = f"{name} {values[-1]:.2f}" if np.isfinite(values[-1]) else f"{name}: no members"
        axes.text(
            1.015, height, text, transform=place, color=colour, va="center", fontsize=11, fontweight="bold"
        )
    axes.set(xlabel="round", ylim=(-0.03, 1.03))
    axes.grid(axis="y", color="0.92")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)


def _moved(membership: Float[np.ndarray, "document round"]) -> Int[np.ndarray, "moved"]:
    """Rows of the documents that rose most or fell most, in the order of the strip."""
    change = membership[:, -1] - membership[:, 0]
    order = np.argsort(-change, kind="stable")
    rose, fell = order[:NAMED], order[::-1][:NAMED]
    return np.sort(np.concatenate([rose[change[rose] > 0], fell[change[fell] < 0]]))


def _name_rows(axes: Axes, changes: Float[np.ndarray, "moved"], names: Sequence[str]) -> list[Text]:
    """Titles in the right margin, to be moved to their rows when the layout is final."""
    texts = []
    for change, name in zip(changes, names, strict=True):
        colour, sign = (GREEN, "▲ +") if change > 0 else (VERMILION, "▼ −")
        style = {"color": colour, "fontsize": 11, "va": "center", "parse_math": False}
        text = f"{sign}{abs(change):.2f}  {name}"
        texts.append(axes.text(1.04, 0.5, text, transform=axes.transAxes, **style))
    return texts


def _join_rows(axes: Axes, rows: Int[np.ndarray, "moved"], texts: Sequence[Text]) -> None:
    places = move_apart(axes, texts, rows.tolist())
    mixed = blended_transform_factory(axes.transAxes, axes.transData)
    for row, place, text in zip(rows, places, texts, strict=True):
        end = axes.transAxes.inverted().transform(mixed.transform((1, row)))[1]
        style = {"color": text.get_color(), "linewidth": 1, "clip_on": False}
        axes.plot([1.0, 1.02, 1.035], [end, place, place], transform=axes.transAxes, **style)
