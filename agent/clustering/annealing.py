"""Self-training whose trust in the pointer fades to nothing: the re-clustering whose fixed points are its own.

A pointer that keeps its weight gives every start a fixed point near itself, which shows no basin; one that is dropped at once
leaves nothing to start from. Here it counts fully at first and not at all from `FadingConfig.rounds` on. See
`agent/clustering/round_map.py` for the map; here it meets the generated texts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Prior, Texts
from agent.clustering.round_map import RoundMap, Schedule
from agent.clustering.two_witnesses import Reclustering, fitting, linear_reading
from agent.concept import Readout
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import calibration_slope, sigmoid, threshold
from agent.membership.ridge import CrossFittedRidge
from agent.membership.similarity import in_units_of, spread


def fade(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    membership: Float[np.ndarray, "passage"],
    generated: Texts | None,
    prior: Prior,
    *,
    config: ClusteringConfig,
    seed: int,
    round_number: int,
) -> Reclustering:
    """Redraw the boundary around `membership`, with the pointer as far as it is trusted in this round.

    Args:
        document_of: the document index of every real passage; documents are never split between folds.
        membership: where the last round left the real passages, in [0, 1].
        generated: further unlabelled texts, or None.
        round_number: 1 for the first redrawing.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    document_of, count = numbered(document_of), len(document_of)
    fit = fitting(real, generated, document_of, prior, config, seed)
    ridges = [fit.ridge]
    if prior.second is not None:
        features = prior.second.features
        if generated is not None:
            assert generated.embeddings is not None
            features = np.concatenate(
                [features, prior.second.projection.apply(generated.embeddings[:, None])]
            )
        ridges.append(CrossFittedRidge(features, fit.weights, fit.divisions, config.penalty))
    round_map = RoundMap(tuple(ridges), document_of, prior.size, config.fading.sharpness)
    trust = Schedule(config.fading.rounds).trust(round_number)
    claimed = document_means(membership, document_of)
    targets = np.concatenate([claimed[document_of], np.where(fit.degenerate, 0.0, prior.size)])
    found = round_map.evidence(targets)
    if len(targets) > count:  # once more, with a guess at what was written in place of the size
        guess = sigmoid(
            config.fading.sharpness * found[count:] / len(ridges) + np.log(prior.size / (1 - prior.size))
        )
        targets = np.concatenate([targets[:count], np.where(fit.degenerate, 0.0, guess)])
        found = round_map.evidence(targets)
    heard = document_means(found[:count], document_of)
    unit = spread(heard)
    pointer = prior.pointer
    scores = heard / unit + trust * in_units_of(pointer, pointer)
    now = round_map.membership(scores)[document_of]
    by_pointer = trust * (fit.pointers - pointer.mean()) / spread(pointer)
    alone = found / unit + by_pointer
    slope = max(calibration_slope(alone[:count], now), 1e-3)
    cut = threshold(slope * alone[:count], prior.size)
    weights, bias = linear_reading(fit.ridge, targets, prior.projection, real, slope * found[:count] / unit)
    centre = float(pointer.mean())
    readout = Readout(weights, bias, slope * trust / spread(pointer), centre, 0.0, 1.0)
    read = readout.log_odds(real.activations, real.pointer_log_odds)
    readout = replace(readout, threshold=threshold(read, prior.size))
    return Reclustering(
        membership=now,
        single=slope * alone[:count],
        pooled=(config.fading.sharpness * in_units_of(scores, scores))[document_of],
        evidence=found[:count] / unit,
        readout=readout,
        generated=sigmoid(slope * alone[count:] - cut),
    )
