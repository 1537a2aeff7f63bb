"""Many rows of `basin evaluate membership` made few: means over seeds for every concept, and what each method achieves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median, stdev
from typing import Any

OURS, TOPIC, DOCUMENT_TOPIC, CEILING = "basin", "topic", "topic-document", "gold-classifier"
ON_EMBEDDINGS, FIRST_REFINER = "basin-on-embeddings", "basin-self-training"
SHUFFLED, FUNCTION_WORDS = "basin-shuffled", "basin-function-words"
"""Names of methods; those of other rivals are in `agent.judging.rivals.RIVALS`."""
NO_RIVALS = (OURS, TOPIC, CEILING, ON_EMBEDDINGS, FIRST_REFINER, SHUFFLED, FUNCTION_WORDS)
QUALITIES = (0.0, 0.2, 0.35, 1.01)
"""Bounds of bands of pointers, by the precision of the topic."""
NEAR = 1.5
"""A size within this factor of the true one counts as found."""

Row = Mapping[str, Any]


def methods_of(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def concepts_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(corpus, concept) pairs in the order in which they were measured."""
    return list(dict.fromkeys((row["corpus"], row["concept"]) for row in rows))


def spread_over_seeds(rows: Sequence[Row], where: tuple[str, str], method: str, column: str) -> float | None:
    """Standard deviation of a column over the seeds of one concept; None for fewer than two."""
    known = _values(rows, where, method, column)
    return stdev(known) if len(known) > 1 else None


def over_seeds(rows: Sequence[Row], where: tuple[str, str], method: str, column: str) -> float | None:
    """Mean of a column over the seeds of one concept; None where no row has it."""
    return _mean(_values(rows, where, method, column))


def _values(rows: Sequence[Row], where: tuple[str, str], method: str, column: str) -> list[float]:
    own = (row for row in rows if (row["corpus"], row["concept"]) == where and row["method"] == method)
    return [value for row in own if (value := row.get(column)) is not None]


def concept_rows(rows: Sequence[Row], kind: str) -> list[dict[str, Any]]:
    """Of every concept the mean AP of topic, refiner, best rival and ceiling, and the refiner's gap recovered.

    Args:
        kind: `single` or `pooled`. The best rival is chosen by this very AP, so it is an upper bound of what choosing
            among the rivals could give.
    """
    found = []
    for where in concepts_of(rows):
        rivals = {
            method: value
            for method in methods_of(rows)
            if method not in NO_RIVALS
            and (value := over_seeds(rows, where, method, f"ap_{kind}")) is not None
        }
        best = max(rivals, key=rivals.__getitem__) if rivals else None
        found.append(
            {
                "corpus": where[0],
                "concept": where[1],
                "topic": over_seeds(rows, where, TOPIC, f"ap_{kind}"),
                "basin": over_seeds(rows, where, OURS, f"ap_{kind}"),
                "rival": rivals[best] if best else None,
                "ceiling": over_seeds(rows, where, CEILING, f"ap_{kind}"),
                "pgr": over_seeds(rows, where, OURS, f"pgr_{kind}"),
                "best_rival": best,
            }
        )
    return found


def method_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of every method, over all concepts and seeds: median PGR, mean AP, worst gain on the topic, sizes and flags.

    `sizes_found` is the share of sizes within a factor of 1.5 of the true one. `flagged` is the share of pointers that
    a method says have no concept: of `basin` these are mistakes, of `basin-shuffled` they are right.
    """
    topics = {_case(row): row for row in rows if row["method"] == TOPIC}
    found = []
    for method in methods_of(rows):
        own = [row for row in rows if row["method"] == method]
        summary: dict[str, Any] = {"method": method, "rows": len(own)}
        for kind in ("single", "pooled"):
            known = [value for row in own if (value := row.get(f"pgr_{kind}")) is not None]
            summary[f"median_pgr_{kind}"] = median(known) if known else None
        for kind in ("single", "pooled"):
            summary[f"mean_ap_{kind}"] = _mean(row[f"ap_{kind}"] for row in own)
        for kind in ("single", "pooled"):
            gains = [
                row[f"ap_{kind}"] - topics[_case(row)][f"ap_{kind}"] for row in own if _case(row) in topics
            ]
            summary[f"worst_gain_{kind}"] = min(gains) if gains else None
        for column in ("precision_single", "precision_pooled", "calibration_error"):
            summary[column] = _mean(row.get(column) for row in own)
        ratios = [row["size_ratio"] for row in own if row.get("size_ratio") is not None]
        summary["sizes_found"] = _mean(float(1 / NEAR <= ratio <= NEAR) for ratio in ratios)
        flags = [row["no_concept_flag"] for row in own if row.get("no_concept_flag") is not None]
        summary["flagged"] = _mean(float(flag) for flag in flags)
        summary["seconds"] = _mean(row.get("seconds") for row in own)
        found.append(summary)
    return found


def aims(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the refiner is for, number by number, beside what is aimed at; left out where nothing was measured."""
    own = [row for row in rows if row["method"] == OURS]
    of = {method: {_case(row): row for row in rows if row["method"] == method} for method in (TOPIC, CEILING)}
    totals = {row["method"]: row for row in method_rows(rows)}
    found: list[tuple[str, float | None, str]] = []
    for kind, words in (("single", "alone"), ("pooled", "with its document")):
        pgr = {method: row[f"median_pgr_{kind}"] for method, row in totals.items()}
        rivals = [value for method, value in pgr.items() if method not in NO_RIVALS and value is not None]
        found.append((f"median PGR, passage {words}", pgr.get(OURS), "0.8" if kind == "single" else ""))
        found.append((f"the best rival's, passage {words}", max(rivals, default=None), "less than ours"))
        losses = [row[f"ap_{kind}"] < of[TOPIC][_case(row)][f"ap_{kind}"] - 0.02 for row in own]
        found.append((f"pointers that lose more than 0.02 AP, passage {words}", _mean(losses), "0"))
    gaps = [row["ap_pooled"] - of[CEILING][_case(row)]["ap_pooled"] for row in own]
    found.append(("median of AP with document less the ceiling's", median(gaps) if gaps else None, "-0.03"))
    for name, column, bound, asked in (
        ("last round's AP within 0.01 of the best round's", "best_gap", 0.01, "1"),
        ("twenty more rounds move the membership by less than 0.02", "moved", 0.02, "1"),
    ):
        known = [row[column] for row in own if row.get(column) is not None]
        found.append((name, _mean(value < bound for value in known), asked))
    found.append(("sizes within a factor of 1.5", totals.get(OURS, {}).get("sizes_found"), "0.67"))
    for method, pointers, asked in (
        (OURS, "true", "at most 0.05"),
        (SHUFFLED, "shuffled", "0.95"),
        (FUNCTION_WORDS, "function-word", "0.95"),
    ):
        found.append((f"{pointers} pointers called no concept", totals.get(method, {}).get("flagged"), asked))
    return [
        {"of all pointers": name, "measured": value, "aim": asked}
        for name, value, asked in found
        if value is not None
    ]


def quality_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Median PGR, passages alone, by how good the pointer was to begin with; bands without a pointer are left out.

    A pointer's quality is its precision at the concept's true size, passages read with their documents.
    """
    quality = {_case(row): row.get("precision_pooled") for row in rows if row["method"] == TOPIC}
    found = []
    for low, high in pairwise(QUALITIES):
        cases = {case for case, value in quality.items() if value is not None and low <= value < high}
        band: dict[str, Any] = {"topic's_precision": f"{low} to {min(high, 1)}", "pointers": len(cases)}
        for method in methods_of(rows):
            own = (row for row in rows if row["method"] == method and _case(row) in cases)
            known = [value for row in own if (value := row.get("pgr_single")) is not None]
            band[method] = median(known) if known else None
        if cases:
            found.append(band)
    return found


def exchange_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of every concept, over its seeds: passages thrown out and taken in, and the share of them that gold agrees with."""
    found = []
    for where in concepts_of(rows):
        own = [row for row in rows if row["method"] == OURS and (row["corpus"], row["concept"]) == where]
        counted = [row for row in own if row.get("threw_out") is not None]
        total = {
            key: sum(row[key] for row in counted)
            for key in ("threw_out", "threw_out_right", "took_in", "took_in_right")
        }
        if counted:
            found.append(
                {
                    "corpus": where[0],
                    "concept": where[1],
                    "threw_out": total["threw_out"],
                    "thrown_out_rightly": total["threw_out_right"] / total["threw_out"]
                    if total["threw_out"]
                    else None,
                    "took_in": total["took_in"],
                    "taken_in_rightly": total["took_in_right"] / total["took_in"]
                    if total["took_in"]
                    else None,
                }
            )
    return found


def _case(row: Row) -> tuple[str, str, int]:
    return row["corpus"], row["concept"], row["seed"]


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
