"""`basin evaluate generation` on the terminal: a table for each concept, then the judges' quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from loops.monitor.tables import number, percentage, table_of

COLUMNS = {
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


def show_generation(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print one table for each corpus and concept, in the order of the generators."""
    if not rows:
        console.print("Nothing was written: no corpus of these is here.")
        return
    for corpus, concept in dict.fromkeys((row["corpus"], row["concept"]) for row in rows):
        own = [row for row in rows if (row["corpus"], row["concept"]) == (corpus, concept)]
        lines = [[row["generator"], *(row.get(key) for key in COLUMNS)] for row in own]
        console.print(table_of([f"{corpus}: {concept}", *COLUMNS.values()], lines, digits=2))
        first = own[0]
        auc = ", ".join(f"{judge.upper()} {number(first.get(f'auc_{judge}'), 2)}" for judge in "abc")
        console.print(
            f"Judges on {first['words_judged']} words of real passages of unseen documents: AUC {auc}. "
            f"Real members pass as inside {percentage(first['inside_of_real_members'])}, others "
            f"{percentage(first['inside_of_real_others'])}.\n",
            highlight=False,
        )
