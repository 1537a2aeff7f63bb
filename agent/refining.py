"""One redrawing by whichever method is configured, and as many of them as it takes to stand still. Maths only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from agent.anchoring import Anchor, ClusteringConfig, Texts
from agent.clustering import Reclustering, recluster
from agent.self_training import self_train
from agent.tracking import soft_jaccard


def redraw(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    membership: Float[np.ndarray, "passage"],
    evidence: Float[np.ndarray, "passage"] | None,
    generated: Texts | None,
    anchor: Anchor,
    *,
    config: ClusteringConfig,
    seed: int,
) -> Reclustering:
    """The next boundary from the last one's membership and evidence; see `recluster` and `self_train`."""
    if config.method == "self_training":
        return self_train(real, document_of, membership, generated, anchor, config=config, seed=seed)
    return recluster(real, document_of, evidence, generated, anchor, config=config, seed=seed)


def redraw_again(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    last: Reclustering | None,
    anchor: Anchor,
    *,
    config: ClusteringConfig,
    seed: int,
) -> Reclustering:
    """`redraw` after `last`, or after the pointer alone where it is None, without generated texts."""
    membership, evidence = (last.membership, last.evidence) if last else (anchor.membership, None)
    return redraw(real, document_of, membership, evidence, None, anchor, config=config, seed=seed)


def settle(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    anchor: Anchor,
    config: ClusteringConfig,
    seed: int,
    *,
    bound: float = 0.002,
    most: int = 30,
) -> list[Reclustering]:
    """Redraw, without generated texts, until memberships drift less than `bound` or `most` times; all of them, in order."""
    drawn: list[Reclustering] = []
    while len(drawn) < most:
        last = drawn[-1] if drawn else None
        drawn.append(redraw_again(real, document_of, last, anchor, config=config, seed=seed))
        if len(drawn) > 1 and 1 - soft_jaccard(drawn[-1].membership, drawn[-2].membership) < bound:
            break
    return drawn
