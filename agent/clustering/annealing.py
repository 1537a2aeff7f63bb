"""The refiner: a classifier of each view learns the last membership, and trust in the pointer falls.

With constant trust every start has a fixed point near itself, so there is no basin. Without any
trust there is nothing to start from. `agent/clustering/round_map.py` is the map on real texts,
`agent/clustering/descent.py` decides where trust stops.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from agent.clustering.finish import Refined
from agent.clustering.prior import Prior
from agent.clustering.round_map import STEPS, RoundMap
from agent.clustering.texts import TrainingSet
from agent.membership.documents import document_means
from agent.membership.log_odds import calibration_slope, sigmoid
from agent.membership.similarity import spread, standardised


def anneal(
    texts: TrainingSet, membership: Float[np.ndarray, "passage"], prior: Prior, trust: float, sharpness: float
) -> Refined:
    """Learn `membership` anew, `STEPS` times, beside a pointer of this trust; then read all texts.

    Texts are read without the pointer, since one passage has few of its words. But the classifier
    that reads them learns from the pointer as a second witness, and from the concept as far as that
    stands without it. Its labels are the mean over several sizes.
    """
    document_of, count = texts.document_of, len(texts.document_of)
    round_map = RoundMap(texts.ridges, document_of, prior.size, sharpness)
    pointer, now = standardised(prior.pointer), membership
    for _ in range(STEPS):
        _, own = _learn(round_map, texts, document_means(now, document_of)[document_of])
        means = document_means(own[:count], document_of)
        scores = means / spread(means)
        now = round_map.membership(scores + trust * pointer)[document_of]
    witnesses = (1 - trust) * scores + pointer
    labels = [replace(round_map, size=size).membership(witnesses) for size in prior.label_sizes]
    of_readers = replace(round_map, ridges=texts.readers)
    targets, found = _learn(of_readers, texts, np.mean(labels, axis=0)[document_of])
    read = found / spread(document_means(found[:count], document_of))
    return Refined(
        targets=targets,
        single=max(calibration_slope(read[:count], now), 1e-3) * read,
        pooled=(round_map.sharpness * standardised(scores + trust * pointer))[document_of],
        evidence=own[:count] / spread(means),
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
