"""A stitching on the terminal: every vector in a row, and the evidence in two parts, in sentences that the numbers bear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from loops.show import plain_table
from loops.stitch_bench import NATIVE
from loops.stitching import Stitched

CERTAIN = 2.0
"""Standard errors from which an effect is one."""
CONTROL_LIMIT = 0.1
"""Of the native effect: what must not work may do so much."""

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
    sentences = [
        f"(a) In {found.first} the vector {_works(own)}: it moves what is written by {own['effect']:.2f} ± "
        f"{own['effect_error']:.2f} of the way from other passages to members, as {found.second} reads it."
    ]
    translated = [row for row in rows if row["kind"] == "translated"]
    if not _certain(native):
        sentences.append(
            f"(b) In {found.second} not even the vector that was found there has an effect "
            f"({native['effect']:.2f} ± {native['effect_error']:.2f}), so there is nothing to compare with."
        )
        return sentences
    first = translated[0]
    sentences.append(
        f"(b) In {found.second} the translated vector ({first['vector']}) {_works(first)}: {first['effect']:.2f} ± "
        f"{first['effect_error']:.2f}, as {found.first} reads it, {_ratio(first)} of what the vector found there does. "
        f"Neither vector was fitted, chosen or calibrated on what {found.second} writes."
    )
    controls = [row for row in rows if row["kind"] == "control" and row["behavioural_ratio"] is not None]
    working = [
        row for row in controls if row["behavioural_ratio"] - (row["ratio_error"] or 0) > CONTROL_LIMIT
    ]
    if working:
        told = ", ".join(f"{row['vector']} ({_ratio(row)})" for row in working)
        sentences.append(f"But what must not work does, too: {told}.")
    elif controls:
        most = max(controls, key=lambda row: row["behavioural_ratio"])
        sentences.append(
            f"What must not work does not: at most {most['vector']}, {_ratio(most)} of the native effect."
        )
    return sentences


def _certain(row: Row) -> bool:
    return row["effect"] > CERTAIN * row["effect_error"]


def _works(row: Row) -> str:
    return "works" if _certain(row) else "has no certain effect"


def _ratio(row: Row) -> str:
    return f"{row['behavioural_ratio']:.2f} ± {row['ratio_error']:.2f}"


def _with_error(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ± {error:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"
