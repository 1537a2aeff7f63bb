"""Summaries of `basin evaluate membership`: means over seeds for each concept, and the results of
each method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

OURS, TOPIC, DOCUMENT_TOPIC, CEILING = "basin", "topic", "topic-document", "gold-classifier"
ON_EMBEDDINGS, FIRST_REFINER = "basin-on-embeddings", "basin-self-training"
SHUFFLED, FUNCTION_WORDS = "basin-shuffled", "basin-function-words"
"""Names of methods; other rivals are in `agent.judging.rivals.RIVALS`."""
NO_RIVALS = (OURS, TOPIC, CEILING, ON_EMBEDDINGS, FIRST_REFINER, SHUFFLED, FUNCTION_WORDS)
NEAR = 1.5
"""A size within this factor of the true one counts as found."""
KINDS = ("single", "pooled")

Row = Mapping[str, Any]


def concept_rows(rows: Sequence[Row], kind: str) -> list[dict[str, Any]]:
    """Mean AP of topic, refiner, best rival and ceiling by concept, and the gap recovered.

    Args:
        kind: `single` or `pooled`. The best rival is chosen by this AP, so it is an upper bound.
    """
    found = []
    for corpus, concept in dict.fromkeys((row["corpus"], row["concept"]) for row in rows):
        own = [row for row in rows if (row["corpus"], row["concept"]) == (corpus, concept)]
        methods = dict.fromkeys(row["method"] for row in rows)
        mean = {method: _mean(_of(own, method, f"ap_{kind}")) for method in methods}
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
                "pgr": _mean(_of(own, OURS, f"pgr_{kind}")),
                "best_rival": best,
            }
        )
    return found


def method_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """By method over concepts and seeds: median PGR, mean AP, worst gain, sizes and flags.

    `sizes_found` is the share of sizes within a factor of 1.5 of the true one. `flagged` is the
    share of pointers that a method calls no concept.
    """
    topics = {_case(row): row for row in rows if row["method"] == TOPIC}
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        compared = [(row, topics[_case(row)]) for row in own if _case(row) in topics]
        summary: dict[str, Any] = {"method": method, "rows": len(own)}
        summary |= {f"median_pgr_{kind}": _median(_of(own, method, f"pgr_{kind}")) for kind in KINDS}
        summary |= {f"mean_ap_{kind}": _mean(_of(own, method, f"ap_{kind}")) for kind in KINDS}
        for kind in KINDS:
            gains = [row[f"ap_{kind}"] - topic[f"ap_{kind}"] for row, topic in compared]
            summary[f"worst_gain_{kind}"] = min(gains, default=None)
        for column in ("precision_single", "precision_pooled", "calibration_error", "seconds"):
            summary[column] = _mean(_of(own, method, column))
        ratios = _of(own, method, "size_ratio")
        summary["sizes_found"] = _mean(float(1 / NEAR <= ratio <= NEAR) for ratio in ratios)
        summary["flagged"] = _mean(_of(own, method, "no_concept_flag"))
        found.append(summary)
    return found


def aims(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The refiner's numbers beside their targets; targets without a measurement are left out."""
    own = [row for row in rows if row["method"] == OURS]
    topic, ceiling = ({_case(row): row for row in rows if row["method"] == each} for each in (TOPIC, CEILING))
    totals = {row["method"]: row for row in method_rows(rows)}
    found: list[tuple[str, float | None, str]] = []
    for kind, words in (("single", "alone"), ("pooled", "with its document")):
        pgr = {method: row[f"median_pgr_{kind}"] for method, row in totals.items()}
        rivals = [value for method, value in pgr.items() if method not in NO_RIVALS and value is not None]
        losses = [row[f"ap_{kind}"] < topic[_case(row)][f"ap_{kind}"] - 0.02 for row in own]
        found += [
            (f"median PGR, passage {words}", pgr.get(OURS), "0.8" if kind == "single" else ""),
            (f"the best rival's, passage {words}", max(rivals, default=None), "less than ours"),
            (f"pointers that lose more than 0.02 AP, passage {words}", _mean(losses), "0"),
        ]
    gaps = [row["ap_pooled"] - ceiling[_case(row)]["ap_pooled"] for row in own]
    found.append(("median of AP with document less the ceiling's", _median(gaps), "-0.03"))
    for name, column, bound in (
        ("last round's AP within 0.01 of the best round's", "best_gap", 0.01),
        ("twenty more rounds move the membership by less than 0.02", "moved", 0.02),
    ):
        found.append((name, _mean(value < bound for value in _of(own, OURS, column)), "1"))
    found.append(("sizes within a factor of 1.5", totals.get(OURS, {}).get("sizes_found"), "0.67"))
    for method, pointers, target in (
        (OURS, "true", "at most 0.05"),
        (SHUFFLED, "shuffled", "0.95"),
        (FUNCTION_WORDS, "function-word", "0.95"),
    ):
        flagged = totals.get(method, {}).get("flagged")
        found.append((f"{pointers} pointers called no concept", flagged, target))
    return [
        {"of all pointers": name, "measured": value, "aim": target}
        for name, value, target in found
        if value is not None
    ]


def _of(rows: Sequence[Row], method: str, column: str) -> list[float]:
    return [row[column] for row in rows if row["method"] == method and row.get(column) is not None]


def _case(row: Row) -> tuple[str, str, int]:
    return row["corpus"], row["concept"], row["seed"]


def _mean(values: Iterable[float]) -> float | None:
    known = [float(value) for value in values]
    return fmean(known) if known else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
