"""`basin evaluate membership` on the terminal: each concept beside topic, rivals and ceiling, then
totals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from loops.evaluation.membership.summary import FUNCTION_WORDS, OURS, SHUFFLED, concept_rows, method_rows
from loops.monitor.tables import percentage, table_of

KINDS = {"single": "passages alone", "pooled": "passages with their document"}
SCORES = ("topic", "basin", "rival", "ceiling", "pgr")
TOTALS = {
    "median_pgr_single": "PGR alone",
    "median_pgr_pooled": "PGR with document",
    "mean_ap_single": "AP alone",
    "mean_ap_pooled": "AP with document",
    "worst_gain_single": "worst alone",
    "worst_gain_pooled": "worst with document",
}


def show_evaluation(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print each concept's mean over seeds, a summary of each method, and shares of sizes and
    flags.
    """
    if not rows:
        console.print("Nothing was measured: no corpus of these is here and has gold labels.")
        return
    for kind, words in KINDS.items():
        lines = [
            [f"{row['corpus']}: {row['concept']}", *(row[key] for key in SCORES), row["best_rival"]]
            for row in concept_rows(rows, kind)
        ]
        heads = [f"AP of {words}", "topic", "basin", "best rival", "ceiling", "PGR", "which rival"]
        console.print(table_of(heads, lines))
        console.print()
    totals = method_rows(rows)
    lines = [[row["method"], *(row[key] for key in TOTALS)] for row in totals]
    console.print(table_of(["median PGR, mean AP, worst gain on the topic", *TOTALS.values()], lines))
    console.print()
    by_method = {row["method"]: row for row in totals}
    if OURS in by_method:
        share = percentage(by_method[OURS]["sizes_found"])
        console.print(f"Sizes within a factor of 1.5 of the true one: {share}.")
    for method, pointers in ((OURS, "true"), (SHUFFLED, "shuffled"), (FUNCTION_WORDS, "function-word")):
        if method in by_method:
            share = percentage(by_method[method]["flagged"])
            console.print(f"Flagged as no concept, of {pointers} pointers: {share}.")
