"""`basin evaluate` on the terminal: membership beside topic, rivals and ceiling; generation by judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from loops.evaluation.membership.summary import FUNCTION_WORDS, OURS, SHUFFLED, concept_rows, method_rows
from loops.monitor.tables import number, percentage, table_of

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
GENERATED = {
    "inside_and_readable": "inside and readable",
    "cluster_score_a": "score A",
    "cluster_score_b": "score B",
    "cluster_score_c": "score C",
    "coherent_share": "coherent",
    "kl_per_token": "nats per token",
    "distinct2": "distinct-2",
    "vendi_ratio": "Vendi",
    "copied_8gram_share": "copied",
    "samples": "samples",
}


def show_evaluation(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print each concept's mean over seeds, a row for each method, and shares of sizes and flags."""
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


def show_generation(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print one table for each corpus and concept, in the order of the generators."""
    if not rows:
        console.print("Nothing was written: no corpus of these is here.")
        return
    for corpus, concept in dict.fromkeys((row["corpus"], row["concept"]) for row in rows):
        own = [row for row in rows if (row["corpus"], row["concept"]) == (corpus, concept)]
        lines = [[row["generator"], *(row.get(key) for key in GENERATED)] for row in own]
        console.print(table_of([f"{corpus}: {concept}", *GENERATED.values()], lines, digits=2))
        first = own[0]
        auc = ", ".join(f"{judge.upper()} {number(first.get(f'auc_{judge}'), 2)}" for judge in "abc")
        console.print(
            f"Judges on {first['words_judged']} words of real passages of unseen documents: AUC {auc}. "
            f"Real members pass as inside {percentage(first['inside_of_real_members'])}, others "
            f"{percentage(first['inside_of_real_others'])}.\n",
            highlight=False,
        )
