"""What `basin evaluate generation` prints: a table a concept, the column that counts first, then how good the judges are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from loops.monitor.tables import plain_table

COLUMNS = {
    "inside_and_readable": "inside and readable",
    "cluster_score_a": "score A",
    "cluster_score_b": "score B",
    "cluster_score_c": "score C",
    "coherent_share": "coherent",
    "kl_per_token": "nats per token",
    "energy_to_filter": "to filter",
    "distinct2": "distinct-2",
    "vendi_ratio": "Vendi",
    "copied_8gram_share": "copied",
    "samples": "samples",
}


def show_generation(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One table for every corpus and concept, in the order of the generators."""
    if not rows:
        console.print("Nothing was written: no corpus of these is here.")
        return
    for corpus, concept in dict.fromkeys((row["corpus"], row["concept"]) for row in rows):
        mine = [row for row in rows if (row["corpus"], row["concept"]) == (corpus, concept)]
        table = plain_table(escape(f"{corpus}: {concept}"), *COLUMNS.values())
        for row in mine:
            table.add_row(row["generator"], *(_number(row.get(key)) for key in COLUMNS))
        console.print(table)
        console.print(
            f"Judges on {mine[0]['words_judged']} words of real passages of unseen documents: AUC A {mine[0]['auc_a']:.2f}, "
            f"B {mine[0]['auc_b']:.2f}, C {_number(mine[0].get('auc_c'))}. Real members pass as inside "
            f"{_share(mine[0], 'members')}, others {_share(mine[0], 'others')}.\n",
            highlight=False,
        )


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _share(row: Mapping[str, Any], which: str) -> str:
    value = row[f"inside_of_real_{which}"]
    return "-" if value is None else f"{value:.0%}"
