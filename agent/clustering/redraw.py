"""One redrawing by whichever method is configured, and as many of them as it takes to stand still. Maths only."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.annealing import fade
from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Prior, Texts
from agent.clustering.self_training import self_train
from agent.clustering.two_witnesses import Reclustering, recluster
from agent.membership.similarity import soft_jaccard


@runtime_checkable
class Notion(Protocol):
    """What a redrawing starts from: a concept, or the last redrawing."""

    @property
    def membership(self) -> Float[np.ndarray, "passage"]: ...
    @property
    def evidence(self) -> Float[np.ndarray, "passage"] | None: ...


def redraw(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    last: Notion | None,
    generated: Texts | None,
    prior: Prior,
    *,
    config: ClusteringConfig,
    seed: int,
    round_number: int = 1,
) -> Reclustering:
    """The boundary after `last`, or after the pointer alone where it is None; see `recluster`, `self_train` and `fade`.

    Only fading depends on which round it is, 1 for the first.
    """
    membership = last.membership if last else prior.membership
    if config.method == "fading":
        return fade(
            real,
            document_of,
            membership,
            generated,
            prior,
            config=config,
            seed=seed,
            round_number=round_number,
        )
    if config.method == "self_training":
        return self_train(real, document_of, membership, generated, prior, config=config, seed=seed)
    evidence = last.evidence if last else None
    return recluster(real, document_of, evidence, generated, prior, config=config, seed=seed)


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
    """Redraw, without generated texts, until memberships drift less than `bound` or `most` times; all of them, in order."""
    drawn: list[Reclustering] = []
    least = (
        max(2, config.fading.rounds or 0) if config.method == "fading" else 2
    )  # not while trust still falls
    while len(drawn) < most:
        last = drawn[-1] if drawn else None
        number = len(drawn) + 1
        drawn.append(
            redraw(real, document_of, last, None, prior, config=config, seed=seed, round_number=number)
        )
        if number >= least and 1 - soft_jaccard(drawn[-1].membership, drawn[-2].membership) < bound:
            break
    return drawn
