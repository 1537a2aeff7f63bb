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
