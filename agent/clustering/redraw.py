"""One redrawing, and redrawing until it is still."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from agent.clustering.annealing import anneal
from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Reclustering, finish
from agent.clustering.prior import Prior
from agent.clustering.round_map import Schedule
from agent.clustering.texts import Texts, training_set
from agent.concept import Concept
from agent.membership.similarity import soft_jaccard


def redraw(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    last: Concept | Reclustering | None,
    generated: Texts | None,
    prior: Prior,
    *,
    config: ClusteringConfig,
    seed: int,
    round_number: int = 1,
) -> Reclustering:
    """One round's memberships of real and generated texts, learnt from `last` or, if None, from the pointer.

    Args:
        document_of: the document of every real passage; no document is split between folds.
        generated: further unlabelled texts, or None.
        round_number: 1 for the first round; trust depends on it.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    texts = training_set(real, generated, document_of, prior.views, prior.finer, config=config, seed=seed)
    membership = last.membership if last else prior.membership
    trust = schedule(prior, config).trust(round_number)
    return finish(anneal(texts, membership, prior, trust, config.sharpness), texts, real, prior)


def schedule(prior: Prior, config: ClusteringConfig) -> Schedule:
    """Trust in the pointer by round."""
    return Schedule(config.falling, prior.least_trust)


def settle(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    prior: Prior,
    config: ClusteringConfig,
    seed: int,
    *,
    bound: float = 0.002,
    most: int = 30,
) -> list[Reclustering]:
    """All redrawings on real texts until drift is below `bound`, `most` at most."""
    drawn: list[Reclustering] = []
    least = max(2, schedule(prior, config).still_falls)
    for number in range(1, most + 1):
        last = drawn[-1] if drawn else None
        drawn.append(
            redraw(real, document_of, last, None, prior, config=config, seed=seed, round_number=number)
        )
        if number >= least and last and 1 - soft_jaccard(drawn[-1].membership, last.membership) < bound:
            break
    return drawn
