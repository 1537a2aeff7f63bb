"""What `basin evaluate membership` prints: the refiner beside topic, rivals and ceiling, concept by concept; then totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from loops.evaluation.membership.summary import FUNCTION_WORDS, OURS, SHUFFLED, concept_rows, method_rows
from loops.monitor.tables import plain_table

KINDS = {"single": "passages alone", "pooled": "passages with their document"}
TOTALS = {
    "median_pgr_single": "PGR alone",
    "median_pgr_pooled": "PGR with document",
    "mean_ap_single": "AP alone",
    "mean_ap_pooled": "AP with document",
    "worst_gain_single": "worst alone",
    "worst_gain_pooled": "worst with document",
}


def show_evaluation(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Means over seeds of every concept, a summary of every method, and a line on sizes and flags."""
    if not rows:
        console.print("Nothing was measured: no corpus of these is here and has gold labels.")
        return
    for kind, words in KINDS.items():
        table = plain_table(f"AP of {words}", "topic", "basin", "best rival", "ceiling", "PGR", "which rival")
        for row in concept_rows(rows, kind):
            numbers = (_number(row[key]) for key in ("topic", "basin", "rival", "ceiling", "pgr"))
            name = escape(f"{row['corpus']}: {row['concept']}")
            table.add_row(name, *numbers, row["best_rival"] or "-")
        console.print(table)
        console.print()
    totals = method_rows(rows)
    table = plain_table("median PGR, mean AP, worst gain on the topic", *TOTALS.values())
    for row in totals:
        table.add_row(row["method"], *(_number(row[key]) for key in TOTALS))
    console.print(table)
    console.print()
    flagged = {row["method"]: row["flagged"] for row in totals}
    for row in totals:
        if row["method"] == OURS:
            console.print(f"Sizes within a factor of 1.5 of the true one: {_share(row['sizes_found'])}.")
    for method, pointers in (
        (OURS, "true"),
        (SHUFFLED, "shuffled"),
        (FUNCTION_WORDS, "function-word"),
    ):
        if method in flagged:
            console.print(f"Flagged as no concept, of {pointers} pointers: {_share(flagged[method])}.")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
