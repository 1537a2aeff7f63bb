"""A stitching on the terminal: every vector in a row, and the evidence in two parts, in sentences that the numbers bear."""

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
from rich.console import Console
from rich.markup import escape

from agent.errors import BasinError
from loops.checkpoint.atomic import unlinked
from loops.monitor.tables import plain_table
from loops.transfer.effects import NATIVE
from loops.transfer.stitch import COMPARED, Stitched

CERTAIN = 2.0
"""Standard errors from which an effect is one."""
CONTROL_LIMIT = 0.1
"""Of the native effect: what must not work may do so much."""

ADAPTER_STAYS = "The round's adapter stays behind, since no map takes it to another model: what follows is of its vector alone."

Row = Mapping[str, Any]


def show_stitch(found: Stitched, measured: Sequence[Row], folder: Path, console: Console) -> None:
    """Layers, table, evidence; with gold labels what judges make of it besides."""
    rows = found.rows()
    there = ", ".join(f"{layer} to {partner}" for layer, partner in found.stitches.partner.items())
    tokens = next(iter(found.stitches.gathered.values())).tokens
    console.print(
        f"\n{found.run}, round {found.round}: {found.first} to {found.second}, layers {there}; maps from {tokens} tokens "
        f"of general text, {found.nats:g} nats per token.",
        highlight=False,
        soft_wrap=True,
    )
    table = plain_table("vector", "unexpl.", "cosine", "back", "ratio", "leaning", "coherent")
    for row in rows:
        if row["model"] == found.second:
            table.add_row(
                escape(row["vector"]),
                *(
                    _number(row.get(key))
                    for key in ("unexplained_variance", "cosine_native", "returned_cosine")
                ),
                _with_error(row["behavioural_ratio"], row["ratio_error"]),
                _number(row["leaning_ratio"]),
                _number(row["coherence"]),
            )
    console.print(table)
    if measured:
        console.print("\nAgainst gold labels, which nothing above knows: ratio by judge")
        table = plain_table("vector", "A embeddings", "B word n-grams", "both")
        for row in measured:
            if row["model"] == found.second and row["kind"] in ("translated", "control"):
                ratios = (
                    _with_error(row[f"ratio_{at}"], row[f"ratio_{at}_error"]) for at in ("a", "b", "mean")
                )
                table.add_row(escape(row["vector"]), *ratios)
        console.print(table)
    console.print()
    for sentence in evidence(found, rows):
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    console.print(f"\nStitch: {escape(str(folder))}", highlight=False, soft_wrap=True)


def evidence(found: Stitched, rows: Sequence[Row]) -> list[str]:
    """The two parts, then what must not work; each says plainly where it fails."""
    own = next(row for row in rows if row["model"] == found.first and row["vector"] == NATIVE)
    native = next(row for row in rows if row["model"] == found.second and row["vector"] == NATIVE)
    sentences = [ADAPTER_STAYS] if found.left_behind else []
    sentences.append(
        f"(a) In {found.first} the vector {_works(own)}: it moves what is written by {_effect(own)} of the way from other "
        f"passages to members, as {found.second} reads it."
    )
    if not _certain(native):
        sentences.append(
            f"(b) In {found.second} not even the vector that was found there has a certain effect ({_effect(native)}), so "
            "there is nothing to compare with."
        )
        return sentences
    first = next(row for row in rows if row["kind"] == "translated")
    sentences.append(
        f"(b) In {found.second} the translated vector ({first['vector']}) {_works(first)}: {_effect(first)}, as "
        f"{found.first} reads it, {_ratio(first)} of what the vector found there does. Neither vector was fitted, chosen or "
        f"calibrated on what {found.second} writes."
    )
    controls = [row for row in rows if row["kind"] == "control" and row["behavioural_ratio"] is not None]
    return [*sentences, *_of_controls(controls)]


def _of_controls(controls: Sequence[Row]) -> list[str]:
    """That they do nothing only where the largest is small for certain: an error as large as the effect proves nothing."""
    if not controls:
        return []
    working = [row for row in controls if row["behavioural_ratio"] - _error(row) > CONTROL_LIMIT]
    if working:
        told = ", ".join(f"{row['vector']} ({_ratio(row)})" for row in working)
        return [f"But what must not work does, too: {told}."]
    most = max(controls, key=lambda row: row["behavioural_ratio"])
    told = f"{most['vector']}, {_ratio(most)} of the native effect."
    if max(row["behavioural_ratio"] + _error(row) for row in controls) <= CONTROL_LIMIT:
        return [f"What must not work does not: at most {told}"]
    return [
        f"Of what must not work nothing is above {CONTROL_LIMIT} by more than a standard error, and not all is certain to be "
        f"below; the largest is {told}"
    ]


def _certain(row: Row) -> bool:
    effect, error = row["effect"], row["effect_error"]
    return effect is not None and error is not None and effect > CERTAIN * error


def _works(row: Row) -> str:
    return "works" if _certain(row) else "has no certain effect"


def _effect(row: Row) -> str:
    return _with_error(row["effect"], row["effect_error"])


def _ratio(row: Row) -> str:
    return _with_error(row["behavioural_ratio"], row["ratio_error"])


def _error(row: Row) -> float:
    return row["ratio_error"] or 0.0


def _with_error(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ± {_number(error)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


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
        values, errors = (np.array([_drawn_number(row[name]) for row in told]) for name in (key, error))
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


def _drawn_number(value: float | None) -> float:
    return np.nan if value is None else float(value)
