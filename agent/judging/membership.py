"""How well a method finds a concept on documents it never saw: average precision, precision at size, calibration.

A method is fitted on the seen part and reads the unseen one; where every document is unseen once, the readings of
the parts are put together, each on the scale of its own seen part, so that none is compared with a foreign scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.anchoring import document_mean
from agent.evidence import in_units_of, sigmoid, threshold
from agent.judging.measure import average_precision

BINS = 10


@dataclass(frozen=True)
class Reading:
    """One method's log-odds on the seen and the unseen passages of one part."""

    seen: Float[np.ndarray, "passage"]
    unseen: Float[np.ndarray, "text"]
    unseen_document_of: Int[np.ndarray, "text"]
    seen_document_of: Int[np.ndarray, "passage"]
    size: float
    """Share of the seen passages that the method claims."""
    pooled: tuple[Float[np.ndarray, "passage"], Float[np.ndarray, "text"]] | None = None
    """Log-odds of seen and unseen passages with their documents, where it is not the mean over the document."""
    no_concept: bool | None = None
    """Whether the method says that there is nothing where the pointer points; None where it cannot say."""
    seconds: float = 0.0

    def standardised(self) -> tuple[Float[np.ndarray, "text"], Float[np.ndarray, "text"]]:
        """Single and pooled scores of the unseen passages, in deviations of the seen ones."""
        seen, unseen = self.pooled or (
            document_mean(self.seen, self.seen_document_of),
            document_mean(self.unseen, self.unseen_document_of),
        )
        return in_units_of(self.seen, self.unseen), in_units_of(seen, unseen)

    def membership(self) -> Float[np.ndarray, "text"]:
        """Probability that each unseen passage, alone, belongs: its log-odds above the seen part's cut at the size."""
        return sigmoid(self.unseen - threshold(self.seen, float(np.clip(self.size, 0.001, 0.999))))


def measure_membership(
    readings: Sequence[Reading], golds: Sequence[Bool[np.ndarray, "text"]], true_size: float
) -> dict[str, float | bool | None]:
    """AP alone and with the document, precision at the true size, calibration error and size ratio, over the parts.

    Args:
        golds: the labels of each reading's unseen passages.
        true_size: share of the seen passages that belong, mean over the parts.

    Raises:
        ValueError: no unseen passage belongs.
    """
    gold = np.concatenate(golds)
    parts = [reading.standardised() for reading in readings]
    single, pooled = (np.concatenate(scores) for scores in zip(*parts, strict=True))
    membership = np.concatenate([reading.membership() for reading in readings])
    flags = [reading.no_concept for reading in readings if reading.no_concept is not None]
    return {
        "ap_single": average_precision(gold, single),
        "ap_pooled": average_precision(gold, pooled),
        "precision_single": precision_at_size(gold, single),
        "precision_pooled": precision_at_size(gold, pooled),
        "calibration_error": calibration_error(gold, membership),
        "size_ratio": float(np.mean([reading.size for reading in readings])) / true_size,
        "no_concept_flag": 2 * sum(flags) > len(flags) if flags else None,
        "seconds": float(sum(reading.seconds for reading in readings)),
    }


def precision_at_size(gold: Bool[np.ndarray, "text"], scores: Float[np.ndarray, "text"]) -> float:
    """Share of gold among as many of the best-scored passages as there are gold ones (R-precision)."""
    best = np.argsort(-scores, kind="stable")[: int(gold.sum())]
    return float(gold[best].mean())


def calibration_error(gold: Bool[np.ndarray, "text"], membership: Float[np.ndarray, "text"]) -> float:
    """Expected calibration error (Guo et al. 2017, 1706.04599, eq. 3) with ten equally filled bins; 0 is calibrated."""
    order = np.argsort(membership, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    gaps = [abs(gold[part].mean() - membership[part].mean()) for part in parts]
    return float(np.average(gaps, weights=[len(part) for part in parts]))


def best_gap(rounds: Sequence[Sequence[Reading]], golds: Sequence[Bool[np.ndarray, "text"]]) -> float:
    """How much AP of single passages settling gave away: the best round's less the last one's, 0 where the last is best.

    Args:
        rounds: of every part, the reading after each round; a part that settled early stays as it is.
    """
    gold = np.concatenate(golds)
    found = []
    for number in range(max(len(part) for part in rounds)):
        readings = [part[min(number, len(part) - 1)] for part in rounds]
        found.append(average_precision(gold, np.concatenate([each.standardised()[0] for each in readings])))
    return max(found) - found[-1]
