"""Self-training: a classifier learns the last membership, and the pointer stays one factor.

Plain self-training is the first refiner, with given trust and size. Its classifier is calibrated on
the pointer's claims, and the passages of a document are pooled. With constant trust every start has
a fixed point near itself, so there is no basin. Without any trust there is nothing to start from.
In annealed self-training, trust falls from 1 to 0 over `FadingConfig.rounds`;
`agent/clustering/round_map.py` is the map.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Refined
from agent.clustering.prior import Prior
from agent.clustering.round_map import RoundMap, Schedule
from agent.clustering.texts import TrainingSet
from agent.membership.documents import document_mean, document_means, document_membership
from agent.membership.log_odds import calibration_slope, sigmoid, threshold
from agent.membership.similarity import spread, standardised

STEPS = 3
DAMPING = 0.5
"""Share of the old membership kept in a step."""


def self_train(texts: TrainingSet, membership: Float[np.ndarray, "passage"], prior: Prior) -> Refined:
    """Learn `membership` anew, with the pointer as one independent witness of the posterior."""
    document_of, count = texts.document_of, len(texts.document_of)
    centre = float(texts.pointers[:count].mean())
    pointer = texts.pointers - centre
    targets = np.concatenate([membership, np.where(texts.degenerate, 0.0, prior.size)])
    for _ in range(STEPS):
        evidence = texts.ridges[0].evidence(targets)
        slope = calibration_slope(evidence[:count], prior.membership)
        single = slope * (evidence - float(evidence[:count].mean())) + pointer
        pooled = document_mean(single[:count], document_of)
        claimed = document_membership(pooled, document_of, prior.size)
        alone = sigmoid(single - threshold(single[:count], prior.size))
        # As far outside as any real passage: at 0 a degenerate text would count as an ordinary book.
        lowest = min(0.0, float(evidence[:count].min()))
        new = np.concatenate([claimed, np.where(texts.degenerate, lowest, alone[count:])])
        targets = DAMPING * targets + (1 - DAMPING) * new
    held_out = (single - pointer)[:count]
    return Refined(
        targets=targets,
        held_out=held_out,
        single=single,
        pooled=pooled,
        evidence=held_out,
        pointer_weight=1.0,
        pointer_centre=centre,
        membership=targets[:count],
    )


def anneal(
    texts: TrainingSet,
    membership: Float[np.ndarray, "passage"],
    prior: Prior,
    config: ClusteringConfig,
    round_number: int,
) -> Refined:
    """Learn `membership` anew, with the trust of this round; 1 is the first round."""
    document_of, count = texts.document_of, len(texts.document_of)
    round_map = RoundMap(texts.ridges, document_of, prior.size, config.fading.sharpness)
    trust = Schedule(config.fading.rounds).trust(round_number)
    targets, found = _learn(round_map, texts, document_means(membership, document_of)[document_of])
    means = document_means(found[:count], document_of)
    unit, pointer = spread(means), prior.pointer
    scores = means / unit + trust * standardised(pointer)
    now = round_map.membership(scores)[document_of]
    alone = found / unit + trust * (texts.pointers - pointer.mean()) / spread(pointer)
    slope = max(calibration_slope(alone[:count], now), 1e-3)
    return Refined(
        targets=targets,
        held_out=slope * found[:count] / unit,
        single=slope * alone,
        pooled=(round_map.sharpness * standardised(scores))[document_of],
        evidence=found[:count] / unit,
        pointer_weight=slope * trust / spread(pointer),
        pointer_centre=float(pointer.mean()),
        membership=now,
    )


def _learn(
    round_map: RoundMap, texts: TrainingSet, claimed: Float[np.ndarray, "passage"]
) -> tuple[Float[np.ndarray, "text"], Float[np.ndarray, "text"]]:
    """Targets and held-out scores; generated texts start at the size."""
    count, size = len(claimed), round_map.size
    targets = np.concatenate([claimed, np.where(texts.degenerate, 0.0, size)])
    found = round_map.evidence(targets)
    if len(targets) > count:
        scores = round_map.sharpness * found[count:] / len(round_map.ridges)
        estimate = sigmoid(scores + np.log(size / (1 - size)))
        targets = np.concatenate([claimed, np.where(texts.degenerate, 0.0, estimate)])
        found = round_map.evidence(targets)
    return targets, found
