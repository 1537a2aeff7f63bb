"""How large the concept is, from the pointer and the evidence alone: between two bounds that need no label.

A picked topic's mass, its mean weight, is the lower bound: a detective story is about other things too. The upper bound
is the best bin estimate of a mixture's proportion (Garg et al. 2021, 2111.00980, algorithm 1): of the cuts on the
held-out evidence, the one that keeps fewest of all texts for every one it keeps of the texts that the pointer is surest of.
It is an upper bound because some of the surest do not belong. The size is their geometric mean.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

FEWEST_KEPT = 0.2
"""Cuts that keep a smaller share of the surest texts are left out: a few texts make no estimate."""


def choose_size(
    evidence: Float[np.ndarray, "passage"], surest: Bool[np.ndarray, "passage"], mass: float
) -> tuple[float, tuple[tuple[float, float], ...]]:
    """The size, and the curve of (share of the surest that a cut keeps, upper bound that the cut gives), by rising cut.

    Args:
        evidence: read by models that did not see the passage's document.
        surest: passages of the documents that the pointer is surest of, as many as it claims.
        mass: the share of the corpus that the pointer claims, in (0, 1).

    Raises:
        ValueError: nothing is surest, or the mass is no share.
    """
    if not surest.any() or not 0 < mass < 1:
        raise ValueError(f"no upper bound for a mass of {mass} and {int(surest.sum())} surest passages")
    cuts = np.quantile(evidence[surest], np.linspace(0, 1 - FEWEST_KEPT, 17))
    kept = np.array([(evidence[surest] >= cut).mean() for cut in cuts])
    bounds = np.array([(evidence >= cut).mean() for cut in cuts]) / kept
    curve = tuple((float(share), float(bound)) for share, bound in zip(kept, bounds, strict=True))
    return float(np.sqrt(mass * np.clip(bounds.min(), mass, 1.0))), curve
