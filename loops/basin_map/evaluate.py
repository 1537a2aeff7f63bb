"""A finished basin map against gold labels, and its figures. The sweep never imports this module."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

from agent.basin.fixed_points import overlaps
from agent.judging.basin_quality import (
    GOOD,
    Flows,
    average_precisions,
    is_right,
    precisions_at_size,
    same_fixed_point_share,
    share,
    threshold,
)
from agent.judging.gold import GoldLabels, gold_labels
from loops.basin_map.map import BasinMap
from loops.checkpoint.atomic import write_file
from loops.checkpoint.schema import sealed
from loops.monitor.tables import can_draw

logger = logging.getLogger(__name__)

MEASURED, PICTURE = "measured.json", "basin.png"
CHANCE = 0.01
"""A start points at the concept if fewer random pointers than this are as precise."""


@dataclass(frozen=True)
class MeasuredMap:
    """The numbers of a map against gold labels."""

    concept: str
    numbers: dict[str, object]
    by_kind: list[dict[str, object]]


def measure_map(found: BasinMap, folder: Path) -> MeasuredMap | None:
    """Write measured.json and the figures; None where the corpus has no labels.

    Raises:
        BasinError: the corpus is not the one that was mapped, or the labels cannot be read.
    """
    labels = gold_labels(found.config.run.corpus, found.setup.passages.documents)
    if labels is None:
        logger.info("The corpus has no gold labels: the map shows its basins, but not their quality.")
        return None
    measured = measured_by(found, labels)
    content = {"concept": measured.concept, **measured.numbers, "by_kind": measured.by_kind}
    write_file(folder / MEASURED, sealed(content))
    if can_draw(PICTURE):
        draw(found, labels, folder)
    return measured


def measured_by(found: BasinMap, labels: GoldLabels) -> MeasuredMap:
    """All numbers against one reading of the labels."""
    flows, gold = flows_of(found, labels.counted), labels.labels[labels.counted]
    precision, topic = precisions_at_size(gold, flows.starts), flows.starts[:1]
    rounds = average_precisions(gold, flows.path[:, 1:])
    once = _aps(labels, np.stack([found.setup.inputs.round_map.scores(claim) for claim in found.path[:, 0]]))
    final, best = rounds[:, -1], rounds.max(axis=1)
    ceiling = ceiling_ap(found, labels)
    right = is_right(final, ceiling)
    same = same_fixed_point_share(flows.fixed_point, precision)
    point = same.fixed_point
    reached = flows.fixed_point == point if point is not None else np.zeros(len(final), bool)
    base_rate, positive = float(gold.mean()), int(gold.sum())
    chance = float(binom.ppf(1 - CHANCE, positive, base_rate) / positive)
    pointing, certified = precision > chance, flows.certified
    good = precision >= GOOD
    noisy = np.array([start.kind == "noise" and np.isclose(start.level, 0.8) for start in found.setup.starts])
    at_point = None if point is None else found.points[point].membership[None]
    numbers: dict[str, object] = {
        "base_rate": base_rate,
        "ceiling_ap": ceiling,
        "topic_ap": float(average_precisions(gold, topic)[0]),
        "topic_precision": float(precision[0]),
        "final_ap_of_topic": float(final[0]),
        "same_fixed_point": asdict(same),
        "fixed_point_ap": None if at_point is None else float(_aps(labels, at_point)[0]),
        "best_round_of_any_start": float(best.max()),
        "best_round_median": _median(best, good),
        "right": int(right.sum()),
        "threshold": threshold(precision, reached & right),
        "noise_80_arrives": _share_of(reached, noisy),
        "certificate": {
            "all": _certificate(certified, right),
            "pointing": _certificate(certified & pointing, right & pointing),
            "pointing_from": chance,
            "pointing_starts": int(pointing.sum()),
        },
    }
    if all(flow.held is not None for flow in found.flows):
        numbers["held"] = _held(found, good, labels)
    outcomes = {"precision": precision, "trained_once_ap": once, "final_ap": final}
    numbers |= {f"noise_80_{name}": _median(values, noisy) for name, values in outcomes.items()}
    outcomes |= {"arrived": reached, "right": right, "certified": certified}
    return MeasuredMap(labels.concept, numbers, _by_kind(found, outcomes))


def flows_of(found: BasinMap, counted: Bool[np.ndarray, "document"]) -> Flows:
    """The map's paths over counted documents, as `agent.judging` takes them."""
    starts = np.stack([start.scores for start in found.setup.starts])
    return Flows(starts[:, counted], found.path[:, :, counted], found.reached, found.certified)


def ceiling_ap(found: BasinMap, labels: GoldLabels) -> float:
    """Average precision of the round's classifiers trained on gold labels, on held-out documents."""
    scores = found.setup.inputs.round_map.scores(labels.labels.astype(np.float64))
    return float(_aps(labels, scores[None])[0])


def draw(found: BasinMap, labels: GoldLabels, folder: Path) -> None:
    """Draw the map."""
    from agent.judging.figures.basin import draw_basin_map

    flows, gold = flows_of(found, labels.counted), labels.labels[labels.counted]
    ceiling = ceiling_ap(found, labels)
    draw_basin_map(folder / PICTURE, flows, gold, names=found.point_names, ceiling_ap=ceiling)


def _aps(labels: GoldLabels, scores: Float[np.ndarray, "row document"]) -> Float[np.ndarray, "row"]:
    return average_precisions(labels.labels[labels.counted], scores[:, labels.counted])


def _median(values: Float[np.ndarray, "start"], among: Bool[np.ndarray, "start"]) -> float | None:
    return float(np.median(values[among])) if among.any() else None


def _share_of(true: Bool[np.ndarray, "start"], among: Bool[np.ndarray, "start"]) -> dict[str, object] | None:
    found = share(int((true & among).sum()), int(among.sum()))
    return None if found is None else asdict(found)


def _certificate(certified: Bool[np.ndarray, "start"], right: Bool[np.ndarray, "start"]) -> dict[str, object]:
    """Precision and recall of the certificate for right starts."""
    return {"precision": _share_of(right, certified), "recall": _share_of(certified, right)}


def _held(found: BasinMap, good: Bool[np.ndarray, "start"], labels: GoldLabels) -> dict[str, object]:
    """With trust held: the share of good starts that end where the topic does, and their AP."""
    finals = np.stack([flow.held for flow in found.flows if flow.held is not None])
    ap = _aps(labels, finals)
    return {
        "same_as_topic": _share_of(overlaps(finals, finals[:1])[:, 0] >= 0.9, good),
        "final_ap_of_topic": float(ap[0]),
        "median_final_ap": _median(ap, good),
    }


def _by_kind(found: BasinMap, outcomes: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """A row for each kind of start, and for each level of noise, mixture and documents."""
    keys = [
        (start.kind, start.level if start.kind in ("noise", "mixture", "documents") else None)
        for start in found.setup.starts
    ]
    rows: list[dict[str, object]] = []
    for key in dict.fromkeys(keys):
        own = np.array([each == key for each in keys])
        row: dict[str, object] = {"kind": key[0], "level": key[1], "starts": int(own.sum())}
        for name in ("precision", "trained_once_ap", "final_ap"):
            row[name] = float(np.median(outcomes[name][own]))
        row["lowest_final_ap"] = float(outcomes["final_ap"][own].min())
        row |= {name: float(outcomes[name][own].mean()) for name in ("arrived", "right", "certified")}
        rows.append(row)
    return rows
