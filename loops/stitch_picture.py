"""A stitching as a picture: which layers go together, and how much of the native effect every vector has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from agent.errors import BasinError
from loops.folders import unlinked
from loops.stitching import COMPARED, Stitched

PICTURE = "stitch.png"
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#777777"
"""Okabe and Ito's, told apart by people of every kind of colour vision; markers differ as well."""


def draw_stitch(found: Stitched, measured: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `stitch.png`: two panels of layers, and one of ratios with their standard errors.

    Raises `BasinError` where it cannot be written.
    """
    figure = Figure(figsize=(15, 5.2), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    matrix = found.stitches.matrix
    _layers(panels[0], found, matrix.svcca, "Likeness of layers (SVCCA)", "viridis")
    shown = 1 - (matrix.unexplained + matrix.back) / 2
    _layers(panels[1], found, shown, "Variance explained, mean of both ways", "viridis")
    _ratios(panels[2], found, measured)
    figure.suptitle(f"{found.run}: {found.first} to {found.second}")
    try:
        FigureCanvasAgg(figure).print_png(str(unlinked(folder / PICTURE)))
    except OSError as error:
        raise BasinError(f"{folder / PICTURE} cannot be written ({error}); make room there.") from None


def _layers(
    axes: Axes, found: Stitched, values: Float[np.ndarray, "layer other"], title: str, colours: str
) -> None:
    matrix = found.stitches.matrix
    image = axes.imshow(values.T, origin="lower", aspect="auto", cmap=colours)
    axes.figure.colorbar(image, ax=axes, shrink=0.85)
    for ticks, layers, tell in (
        (axes.set_xticks, matrix.first, axes.set_xlabel),
        (axes.set_yticks, matrix.second, axes.set_ylabel),
    ):
        step = max(1, len(layers) // 9)
        ticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
        tell(f"layer of {found.first if layers is matrix.first else found.second}")
    at = [(matrix.first.index(a), matrix.second.index(b)) for a, b in found.stitches.partner.items()]
    outlined = [withStroke(linewidth=4, foreground="black")]  # seen on every colour of the map
    axes.scatter(
        *zip(*at, strict=True), s=110, facecolors="none", edgecolors="white", linewidths=2
    ).set_path_effects(outlined)
    for (row, column), (layer, there) in zip(at, found.stitches.partner.items(), strict=True):
        words = axes.annotate(
            f"{layer}, {there}", (row, column), (0, 9), textcoords="offset points", ha="center", color="white"
        )
        words.set_path_effects(outlined)
    axes.set_title(title)


def _ratios(axes: Axes, found: Stitched, measured: Sequence[Mapping[str, Any]]) -> None:
    rows = [row for row in found.rows() if row["kind"] in COMPARED]
    places = np.arange(len(rows))[::-1]
    series = [(f"as {found.first} reads it", BLUE, "o", "behavioural_ratio", "ratio_error", rows)]
    if measured:
        gold = {row["vector"]: row for row in measured if row["model"] == found.second}
        judged = [gold[row["vector"]] for row in rows]
        if any(row["ratio_mean"] is not None for row in judged):  # or no judge can tell this concept
            series.append(
                ("by judges trained on gold labels", ORANGE, "s", "ratio_mean", "ratio_mean_error", judged)
            )
    for number, (label, colour, marker, key, error, told) in enumerate(series):
        values, errors = (np.array([_number(row[name]) for row in told]) for name in (key, error))
        heights = places + 0.12 * (len(series) - 1) * (1 - 2 * number)
        axes.errorbar(values, heights, xerr=errors, fmt=marker, color=colour, label=label, capsize=3)
    for at, style in ((0.0, "-"), (0.1, ":"), (0.8, "--"), (1.0, "-")):
        axes.axvline(at, color=GREY, linestyle=style, linewidth=0.8, zorder=0)
        if at in (0.1, 0.8):
            axes.annotate(
                f"{at:g}",
                (at, 1),
                (0, 2),
                axes.get_xaxis_transform(),
                "offset points",
                ha="center",
                color=GREY,
            )
    axes.set_yticks(places, [row["vector"].replace("_", " ") for row in rows])
    axes.set_xlabel("ratio to the native effect, ± standard error")
    axes.set_title(f"Steering {found.second}", pad=18)
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
