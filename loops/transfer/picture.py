"""The picture of a stitching: which layers correspond, and ratios to the native effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agent.errors import writing
from loops.checkpoint.atomic import unlinked
from loops.transfer.stitch import Stitching
from loops.transfer.trials import COMPARED

PICTURE = "stitch.png"
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#777777"
"""From the palette of Okabe and Ito, safe for colour-blind readers; markers differ as well."""


def draw_stitch(found: Stitching, measured: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `stitch.png`: a panel of layers and one of ratios."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    layers, ratios = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_layers(layers, found)
    _draw_ratios(ratios, found, measured)
    figure.suptitle(f"{found.run}: {found.first} to {found.second}")
    with writing(folder / PICTURE, "make room there"):
        FigureCanvasAgg(figure).print_png(str(unlinked(folder / PICTURE)))


def _draw_layers(axes: Axes, found: Stitching) -> None:
    first, second = found.stitches.layers
    image = axes.imshow(found.stitches.similarity.T, origin="lower", aspect="auto", cmap="viridis")
    axes.figure.colorbar(image, ax=axes, shrink=0.85)
    for axis, layers, model in ((axes.xaxis, first, found.first), (axes.yaxis, second, found.second)):
        step = max(1, len(layers) // 9)
        axis.set_ticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
        axis.set_label_text(f"layer of {model}")
    for layer, there in found.stitches.partner.items():
        at = first.index(layer), second.index(there)
        axes.plot(*at, "o", markersize=10, fillstyle="none", color="white")
    axes.set_title("Similarity of layers (SVCCA); rings: paired layers")


def _draw_ratios(axes: Axes, found: Stitching, measured: Sequence[Mapping[str, Any]]) -> None:
    rows = [row for row in found.rows() if row["kind"] in COMPARED]
    places = np.arange(len(rows))[::-1]
    series = [(f"as {found.first} reads it", BLUE, "o", "behavioural_ratio", "ratio_error", rows)]
    gold = {row["vector"]: row for row in measured}
    judged = [dict(gold[row["vector"]]) for row in rows] if gold else []
    if any(row["ratio_mean"] is not None for row in judged):  # else no judge can tell this concept
        label = "by judges trained on gold labels"
        series.append((label, ORANGE, "s", "ratio_mean", "ratio_mean_error", judged))
    for number, (label, colour, marker, key, error, drawn) in enumerate(series):
        values, errors = (np.array([row[name] for row in drawn], dtype=float) for name in (key, error))
        heights = places + 0.12 * (len(series) - 1) * (1 - 2 * number)
        axes.errorbar(values, heights, xerr=errors, fmt=marker, color=colour, label=label, capsize=3)
    for at, style in ((0.0, "-"), (0.1, ":"), (0.8, "--"), (1.0, "-")):
        axes.axvline(at, color=GREY, linestyle=style, linewidth=0.8, zorder=0)
    axes.set_yticks(places, [row["vector"].replace("_", " ") for row in rows])
    axes.set_xlabel("ratio to the native effect, ± standard error")
    axes.set_title(f"Steering {found.second}", pad=18)
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False)
