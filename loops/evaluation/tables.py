"""Means and tables of `basin evaluate`: membership beside topic, rivals and ceiling; generation by
judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from rich.console import Console

from loops.monitor.tables import number, percentage, table_of

OURS, TOPIC, CEILING = "basin", "topic", "gold-classifier"
SHUFFLED = "basin-shuffled"
"""Names of methods; the others are in `agent.judging.rivals.RIVALS`."""
NO_RIVALS = (OURS, TOPIC, CEILING, SHUFFLED)
NEAR = 1.5
"""A size within this factor of the true one counts as found."""
LOSS = 0.02
"""A pointer that loses more AP than this is counted as lost."""
KINDS = {"single": "passages alone", "pooled": "passages with their document"}
SCORES = ("topic", "basin", "rival", "ceiling", "pgr")
TOTALS = {
    "median_pgr_single": "PGR alone",
    "median_pgr_pooled": "PGR with document",
    "mean_ap_single": "AP alone",
    "mean_ap_pooled": "AP with document",
    "lost_single": "lost alone",
    "lost_pooled": "lost with document",
    "sizes_found": "sizes found",
    "flagged": "flagged",
}
GENERATED = {
    "inside_and_readable": "inside and readable",
    "cluster_score_a": "score A",
    "cluster_score_b": "score B",
    "cluster_score_c": "score C",
    "coherent_share": "coherent",
    "kl_per_token": "nats per token",
    "vendi_ratio": "Vendi",
    "copied_8gram_share": "copied",
    "samples": "samples",
}

Row = Mapping[str, Any]


def concept_rows(rows: Sequence[Row], kind: str) -> list[dict[str, Any]]:
    """Mean AP of topic, refiner, best rival and ceiling by concept, and the gap recovered.

    Args:
        kind: `single` or `pooled`. The best rival is chosen by this AP, so it is an upper bound.
    """
    found = []
    for corpus, concept in dict.fromkeys((row["corpus"], row["concept"]) for row in rows):
        own = [row for row in rows if (row["corpus"], row["concept"]) == (corpus, concept)]
        mean = {row["method"]: _mean(own, row["method"], f"ap_{kind}") for row in own}
        rivals = {name: ap for name, ap in mean.items() if name not in NO_RIVALS and ap is not None}
        best = max(rivals, key=lambda name: rivals[name]) if rivals else None
        found.append(
            {
                "corpus": corpus,
                "concept": concept,
                "topic": mean.get(TOPIC),
                "basin": mean.get(OURS),
                "rival": rivals[best] if best else None,
                "ceiling": mean.get(CEILING),
                "pgr": _mean(own, OURS, f"pgr_{kind}"),
                "best_rival": best,
            }
        )
    return found


def method_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """By method over concepts and seeds: median PGR, mean AP, losses, sizes and flags.

    `lost` is the share of pointers whose AP is more than 0.02 below the topic's, `sizes_found` of
    sizes within a factor of 1.5 of the true one, and `flagged` of those that are called no concept.
    """
    topics = {_case(row): row for row in rows if row["method"] == TOPIC}
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        compared = [(row, topics[_case(row)]) for row in own if _case(row) in topics]
        summary: dict[str, Any] = {"method": method, "rows": len(own)}
        for kind in KINDS:
            recovered = _values(own, method, f"pgr_{kind}")
            losses = [row[f"ap_{kind}"] < topic[f"ap_{kind}"] - LOSS for row, topic in compared]
            summary[f"median_pgr_{kind}"] = median(recovered) if recovered else None
            summary[f"mean_ap_{kind}"] = _mean(own, method, f"ap_{kind}")
            summary[f"lost_{kind}"] = fmean(losses) if losses else None
        summary["seconds"] = _mean(own, method, "seconds")
        near = [float(1 / NEAR <= ratio <= NEAR) for ratio in _values(own, method, "size_ratio")]
        summary["sizes_found"] = fmean(near) if near else None
        summary["flagged"] = _mean(own, method, "no_concept_flag")
        found.append(summary)
    return found


def _values(rows: Iterable[Row], method: str, column: str) -> list[float]:
    return [float(row[column]) for row in rows if row["method"] == method and row.get(column) is not None]


def _mean(rows: Iterable[Row], method: str, column: str) -> float | None:
    known = _values(rows, method, column)
    return fmean(known) if known else None


def _case(row: Row) -> tuple[str, str, int]:
    return row["corpus"], row["concept"], row["seed"]


def show_evaluation(rows: Sequence[Row], console: Console) -> None:
    """Print each concept's mean over seeds, and a row for each method."""
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
    lines = [[row["method"], *(row[key] for key in TOTALS)] for row in method_rows(rows)]
    console.print(table_of(["median PGR, mean AP, shares of pointers", *TOTALS.values()], lines))


def show_generation(rows: Sequence[Row], console: Console) -> None:
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
