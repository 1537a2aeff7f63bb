"""After a basin map: compare where starts flowed with gold labels, where there are any, and draw it. The sweep stays away."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

from agent.basin.fixed_points import overlaps
from agent.judging.basin_quality import (
    Flows,
    average_precisions,
    certificate_quality,
    is_right,
    membership_quality,
    same_fixed_point_share,
    share,
    start_quality,
    threshold,
)
from agent.judging.gold import GoldLabels, gold_labels
from loops.basin_map.map import BasinMap
from loops.checkpoint.atomic import write_file
from loops.checkpoint.schema import sealed
from loops.monitor.drawing import can_draw

logger = logging.getLogger(__name__)

MEASURED, PICTURE, ONE_START = "measured.json", "basin.png", "start.png"
CHANCE = 0.01
"""A start points at the concept where fewer random pointers than this are as precise."""


@dataclass(frozen=True)
class MeasuredMap:
    """What gold says of a map."""

    concept: str
    numbers: dict[str, object]
    by_kind: list[dict[str, object]]


def measure_map(found: BasinMap, folder: Path) -> MeasuredMap | None:
    """Write measured.json and the pictures; None where the corpus has no labels.

    Raises:
        BasinError: the corpus is not the one that was mapped, or the labels cannot be read.
    """
    labels = gold_labels(found.config.run.corpus, found.setup.passages.documents)
    if labels is None:
        logger.info(
            "The corpus has no gold labels: the map says which basins there are, and not how good they are."
        )
        return None
    measured = measured_by(found, labels)
    content = {"concept": measured.concept, **measured.numbers, "by_kind": measured.by_kind}
    write_file(folder / MEASURED, sealed(content))
    if can_draw(PICTURE):
        draw(found, labels, folder)
    return measured


def measured_by(found: BasinMap, labels: GoldLabels) -> MeasuredMap:
    """All numbers, of one reading of the labels."""
    gold, counted = labels.labels, labels.counted
    flows = flows_of(found)
    start, ways = start_quality(flows, gold, counted), membership_quality(flows.path, gold, counted)
    final = ways.average_precision[:, -1]
    ceiling = ceiling_ap(found, gold, counted)
    right = is_right(final, ceiling)
    same = same_fixed_point_share(flows, start)
    reached = (
        flows.fixed_point == same.fixed_point if same.fixed_point is not None else np.zeros(len(final), bool)
    )
    base_rate, positive = float(gold[counted].mean()), int(gold[counted].sum())
    chance = float(binom.ppf(1 - CHANCE, positive, base_rate) / positive)
    pointing = start.precision > chance
    crossing = threshold(start.precision, reached & right)
    best = ways.average_precision[:, 1:]
    certified = flows.certified
    noisy = (np.array(flows.kinds) == "noise") & np.isclose(flows.levels, 0.8)
    numbers: dict[str, object] = {
        "base_rate": base_rate,
        "ceiling_ap": ceiling,
        "topic_ap": float(start.average_precision[0]),
        "topic_precision": float(start.precision[0]),
        "final_ap_of_topic": float(final[0]),
        "same_fixed_point": asdict(same),
        "fixed_point_ap": _at_point(found, same.fixed_point, gold, counted),
        "best_round_of_any_start": float(best.max()),
        "best_round_median": float(np.median(best.max(axis=1)[start.precision >= 0.5]))
        if (start.precision >= 0.5).any()
        else None,
        "right": int(right.sum()),
        "threshold": asdict(crossing),
        "noise_80_arrives": share_of(reached, noisy),
        "certificate": {
            "all": asdict(certificate_quality(certified, right)),
            "pointing": asdict(certificate_quality(certified & pointing, right & pointing)),
            "pointing_from": chance,
            "pointing_starts": int(pointing.sum()),
        },
    }
    if all(flow.held is not None for flow in found.flows):
        numbers["held"] = _held(found, start.precision, gold, counted)
    return MeasuredMap(labels.concept, numbers, _by_kind(flows, start.precision, final, reached, right))


def flows_of(found: BasinMap) -> Flows:
    """The map as the judging takes it."""
    starts = found.setup.starts
    return Flows(
        [start.kind for start in starts],
        [start.level for start in starts],
        np.stack([start.scores for start in starts]),
        found.path,
        found.reached,
        found.certified,
    )


def ceiling_ap(
    found: BasinMap, gold: Bool[np.ndarray, "document"], counted: Bool[np.ndarray, "document"]
) -> float:
    """Average precision of the round's own classifiers, taught the gold labels, on documents that they did not see."""
    scores = found.setup.inputs.round_map.scores(gold.astype(np.float64))
    return float(average_precisions(gold[counted], scores[None, counted])[0])


def draw(found: BasinMap, labels: GoldLabels, folder: Path) -> None:
    """The map, and the way of one start: of those spoiled most that arrived, the first."""
    from agent.judging.figures.basin import draw_basin_map
    from agent.judging.figures.start import draw_path

    flows, gold, counted = flows_of(found), labels.labels, labels.counted
    draw_basin_map(
        folder / PICTURE,
        flows,
        gold,
        counted,
        names=found.point_names,
        ceiling_ap=ceiling_ap(found, gold, counted),
        topic_start=0,
    )
    quality = start_quality(flows, gold, counted).precision
    arrived = np.flatnonzero((flows.fixed_point == flows.fixed_point[0]) & (np.arange(len(quality)) > 0))
    which = int(arrived[np.argmin(quality[arrived])]) if len(arrived) else 0
    titles = [document.title or document.id for document in found.setup.passages.documents]
    draw_path(folder / ONE_START, flows, which, gold, counted, titles=titles)


def share_of(true: Bool[np.ndarray, "start"], among: Bool[np.ndarray, "start"]) -> dict[str, object] | None:
    """A share with its interval, as plain numbers."""
    found = share(int((true & among).sum()), int(among.sum()))
    return None if found is None else asdict(found)


def _at_point(
    found: BasinMap,
    point: int | None,
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
) -> float | None:
    if point is None:
        return None
    return float(average_precisions(gold[counted], found.points[point].membership[None, counted])[0])


def _held(
    found: BasinMap,
    precision: Float[np.ndarray, "start"],
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
) -> dict[str, object]:
    """The same question of the schedule that holds trust: of the better starts, how many end within 0.9 of the topic's end."""
    finals = np.stack([flow.held for flow in found.flows if flow.held is not None])
    better = precision >= 0.5
    same = overlaps(finals, finals[:1])[:, 0] >= 0.9
    ap = average_precisions(gold[counted], finals[:, counted])
    return {
        "same_as_topic": share_of(same, better),
        "final_ap_of_topic": float(ap[0]),
        "median_final_ap": float(np.median(ap[better])) if better.any() else None,
    }


def _by_kind(
    flows: Flows,
    precision: Float[np.ndarray, "start"],
    final: Float[np.ndarray, "start"],
    reached: Bool[np.ndarray, "start"],
    right: Bool[np.ndarray, "start"],
) -> list[dict[str, object]]:
    """A row for every kind, and of noise and mixtures for every level."""
    keys = [
        (kind, level if kind in ("noise", "mixture", "documents") else None)
        for kind, level in zip(flows.kinds, flows.levels, strict=True)
    ]
    rows: list[dict[str, object]] = []
    for key in dict.fromkeys(keys):
        rows_of = np.array([each == key for each in keys])
        rows.append(
            {
                "kind": key[0],
                "level": key[1],
                "starts": int(rows_of.sum()),
                "precision": float(np.median(precision[rows_of])),
                "final_ap": float(np.median(final[rows_of])),
                "lowest_final_ap": float(final[rows_of].min()),
                "arrived": float(reached[rows_of].mean()),
                "right": float(right[rows_of].mean()),
                "certified": float(flows.certified[rows_of].mean()),
            }
        )
    return rows
