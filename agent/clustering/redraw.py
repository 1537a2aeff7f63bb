"""One redrawing by the configured refiner, and redrawing until it is still."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Reclustering, finish
from agent.clustering.prior import Prior
from agent.clustering.self_training import anneal, self_train
from agent.clustering.texts import Texts, training_set
from agent.clustering.two_witnesses import weigh_witnesses
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
    """Memberships of real and generated texts, learnt from `last` or, if None, from the pointer.

    Args:
        document_of: the document of every real passage; no document is split between folds.
        generated: further unlabelled texts, or None.
        round_number: 1 for the first round; only annealing depends on it.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    texts = training_set(real, generated, document_of, prior.views, config=config, seed=seed)
    membership = last.membership if last else prior.membership
    if config.method == "fading":
        refined = anneal(texts, membership, prior, config, round_number)
    elif config.method == "self_training":
        refined = self_train(texts, membership, prior)
    else:
        refined = weigh_witnesses(texts, last.evidence if last else None, prior, config, seed)
    return finish(refined, texts, real, prior)


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
    # Not while trust still falls.
    least = max(2, config.fading.rounds or 0) if config.method == "fading" else 2
    for number in range(1, most + 1):
        last = drawn[-1] if drawn else None
        drawn.append(
            redraw(real, document_of, last, None, prior, config=config, seed=seed, round_number=number)
        )
        if number >= least and last and 1 - soft_jaccard(drawn[-1].membership, last.membership) < bound:
            break
    return drawn
