"""Average precision of a run against gold labels, and the performance gap recovered.

Everything is scored on documents that its scorer was not fitted on: the concept's readings are
    stored cross-fitted by document, and the ceiling is cross-fitted here. The topic model has seen
    every text, but no label.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from agent.clustering.config import ClusteringConfig
from agent.concept import Concept
from agent.judging.basin_quality import precisions_at_size
from agent.judging.gold import GoldLabels
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_mean
from agent.membership.log_odds import calibration_slope
from agent.membership.projection import Projection
from agent.membership.similarity import standardised
from agent.types import total_seconds

logger = logging.getLogger(__name__)

MINIMUM_GAP = 0.05  # of average precision between topic and ceiling: below it the gap recovered means nothing
MINIMUM_WEIGHT = 1e-12  # keeps the logarithm of a topic weight finite
CEILING_REPEATS = 3  # divisions of the documents that the ceiling is averaged over: one is a matter of luck

Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class MeasuredRound:
    """The data of one round that is measured."""

    concept: Concept
    metrics: Mapping[str, float | int | bool | str | None]
    cost: Mapping[str, float]
    """Seconds per stage, and peak_gb."""


@dataclass(frozen=True)
class MeasuredRun:
    """A stored run; arrays are over its real passages."""

    rounds: Sequence[MeasuredRound]
    """All rounds, the first of which is the pointer itself."""
    pointer_weights: Float[np.ndarray, "passage"]
    """q0: the topic's weight in each passage."""
    activations: Float[np.ndarray, "passage layer width"]
    document_of: Int[np.ndarray, "passage"]


@dataclass(frozen=True)
class Ceiling:
    """Average precision of the clustering's classifier trained on gold labels."""

    single: float
    pooled: float


def average_precision(gold: Bool[np.ndarray, "passage"], scores: Float[np.ndarray, "passage"]) -> float:
    """Area under the stepwise precision-recall curve; the base rate for a constant score.

    Raises ValueError when no passage is positive or a score is not finite.
    """
    if not gold.any():
        raise ValueError("no passage is positive, so there is no average precision")
    return float(average_precision_score(gold, scores))


def topic_scores(
    pointer_weights: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> tuple[Float[np.ndarray, "passage"], Float[np.ndarray, "passage"]]:
    """The topic's reading of a passage alone (q0), and of its document (mean of log q0)."""
    return pointer_weights, document_mean(np.log(np.maximum(pointer_weights, MINIMUM_WEIGHT)), document_of)


def gold_ceiling(run: MeasuredRun, labels: GoldLabels, config: ClusteringConfig, seed: int) -> Ceiling | None:
    """The clustering's classifier trained on gold labels, cross-fitted; None without `gold_folds`."""
    gold, precisions = labels.of_passages(run.document_of), []
    for repeat in range(CEILING_REPEATS):
        folds = gold_folds(gold, run.document_of, config.folds, seed + repeat)
        if folds is None:
            return None
        single = cross_fitted_log_odds(run.activations, gold.astype(np.float64), folds, config)
        pooled = document_mean(single, run.document_of)
        precisions.append((average_precision(gold, single), average_precision(gold, pooled)))
    return Ceiling(*np.mean(precisions, axis=0).tolist())


def gold_folds(
    gold: Bool[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], folds: int, seed: int
) -> Int[np.ndarray, "passage"] | None:
    """A fold for each passage, with whole documents and both kinds of documents in each fold.

    There are fewer folds where documents of a kind are few, and None where there is only one.
    """
    documents, first, document = np.unique(document_of, return_index=True, return_inverse=True)
    kinds = np.bincount(gold[first], minlength=2)
    if kinds.min() < 2:
        return None
    fold = np.empty(len(documents), dtype=np.int64)
    parts = StratifiedKFold(min(folds, *kinds.tolist()), shuffle=True, random_state=seed % 2**32)
    for number, (_, held_out) in enumerate(parts.split(documents, gold[first])):
        fold[held_out] = number
    return fold[document]


def cross_fitted_log_odds(
    activations: Float[np.ndarray, "passage layer width"],
    targets: Float[np.ndarray, "passage"],
    folds: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
) -> Float[np.ndarray, "passage"]:
    """Held-out log-odds of `targets` from the clustering's classifier, fitted once."""
    features = Projection.fit(activations, config.components).apply(activations)
    evidence = CrossFittedRidge(features, np.ones(len(features)), [folds], config.penalty).evidence(targets)
    return np.asarray(calibration_slope(evidence, targets) * (evidence - evidence.mean()))


def gap_recovered(concept: float, topic: float, ceiling: float | None) -> float | None:
    """PGR = (AP(m) - AP(q0)) / (AP(ceiling) - AP(q0)), Burns et al. (2312.09390).

    None where there is no ceiling, or one less than 0.05 above the topic.
    """
    if ceiling is None or ceiling - topic < MINIMUM_GAP - 1e-9:
        return None
    return (concept - topic) / (ceiling - topic)


def measure_run(run: MeasuredRun, labels: GoldLabels, config: ClusteringConfig, seed: int) -> list[Row]:
    """A row for each round.

    `ap_*`, `pgr_single` and `gain_single` are of passages read alone, `*_pooled` of passages with
    their documents. `gain` is AP of the concept less AP of the topic.

    Raises:
        ValueError: the run has no round 0, or no passage is positive.
    """
    if not run.rounds or run.rounds[0].concept.round != 0:
        raise ValueError("a run is measured from round 0, the pointer, on")
    run = _restricted(run, labels.counted[run.document_of])
    gold = labels.of_passages(run.document_of)
    logger.info(f"judging: the ceiling, trained on gold labels of {len(gold)} passages")
    found = gold_ceiling(run, labels, config, seed)
    ceiling, ceiling_pooled = (found.single, found.pooled) if found else (None, None)
    topic_single, topic_pooled = topic_scores(run.pointer_weights, run.document_of)
    ap_topic, ap_topic_pooled = average_precision(gold, topic_single), average_precision(gold, topic_pooled)
    rows = []
    for measured in run.rounds:
        concept = measured.concept
        single, pooled = average_precision(gold, concept.single), average_precision(gold, concept.pooled)
        row: Row = {
            "method": "basin",
            "corpus": labels.corpus,
            "concept": labels.concept,
            "round": concept.round,
        }
        row |= {"ap_topic": ap_topic, "ap_concept": single, "ap_ceiling": ceiling}
        row |= {"ap_topic_pooled": ap_topic_pooled, "ap_concept_pooled": pooled}
        row |= {"ap_ceiling_pooled": ceiling_pooled}
        row |= {"pgr_single": gap_recovered(single, ap_topic, ceiling)}
        row |= {"pgr_pooled": gap_recovered(pooled, ap_topic_pooled, ceiling_pooled)}
        row |= {"gain_single": single - ap_topic, "gain_pooled": pooled - ap_topic_pooled}
        row |= {"base_rate": float(gold.mean()), "size": float(concept.size)}
        row |= {key: measured.metrics.get(key) for key in ("drift", "contraction", "agreement", "coherence")}
        row |= {"seconds": total_seconds(measured.cost), "peak_gb": measured.cost.get("peak_gb")}
        rows.append(row)
    return rows


def _restricted(run: MeasuredRun, kept: Bool[np.ndarray, "passage"]) -> MeasuredRun:
    """The run restricted to some of its passages; sizes stay those of the whole."""
    rounds = []
    for measured in run.rounds:
        concept = measured.concept
        arrays = {name: getattr(concept, name)[kept] for name in ("membership", "single", "pooled")}
        rounds.append(replace(measured, concept=replace(concept, **arrays)))
    return MeasuredRun(rounds, run.pointer_weights[kept], run.activations[kept], run.document_of[kept])


@dataclass(frozen=True)
class Reading:
    """One method's log-odds on the seen and the unseen passages of one part."""

    seen: Float[np.ndarray, "passage"]
    unseen: Float[np.ndarray, "text"]
    pooled: tuple[Float[np.ndarray, "passage"], Float[np.ndarray, "text"]]
    """Log-odds of seen and unseen passages with their documents."""
    size: float
    """Share of the seen passages that the method claims."""
    no_concept: bool | None = None
    """Whether the method finds no concept where the pointer points; None where it cannot tell."""
    seconds: float = 0.0

    def standardised(self) -> tuple[Float[np.ndarray, "text"], Float[np.ndarray, "text"]]:
        """Single and pooled scores of the unseen passages, in standard deviations of the seen ones."""
        seen, unseen = self.pooled
        return standardised(self.unseen, self.seen), standardised(unseen, seen)


def measure_membership(
    readings: Sequence[Reading], golds: Sequence[Bool[np.ndarray, "text"]], true_size: float
) -> dict[str, float | bool | None]:
    """AP, precision at the true size and size ratio, over all parts.

    Args:
        golds: the labels of each reading's unseen passages.
        true_size: share of the seen passages that belong, mean over the parts.

    Raises:
        ValueError: no unseen passage belongs.
    """
    gold = np.concatenate(golds)
    parts = [reading.standardised() for reading in readings]
    single, pooled = (np.concatenate(scores) for scores in zip(*parts, strict=True))
    flags = [reading.no_concept for reading in readings if reading.no_concept is not None]
    return {
        "ap_single": average_precision(gold, single),
        "ap_pooled": average_precision(gold, pooled),
        "precision_single": float(precisions_at_size(gold, single)),
        "precision_pooled": float(precisions_at_size(gold, pooled)),
        "size_ratio": float(np.mean([reading.size for reading in readings])) / true_size,
        "no_concept_flag": 2 * sum(flags) > len(flags) if flags else None,
        "seconds": float(sum(reading.seconds for reading in readings)),
    }
