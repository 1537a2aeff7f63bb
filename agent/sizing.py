"""How large the concept is, from the pointer and the evidence alone.

At the true size the two witnesses claim the same documents; claiming fewer cuts through the concept and claiming more
adds documents that only one of them wants. Their agreement beyond chance (Cohen 1960, kappa), over a grid of sizes,
is the curve; it is broad and noisy where documents are few, so it is weighed with a prior at the pointer's own size.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

SIZES = tuple(float(size) for size in np.geomspace(0.02, 0.5, 20))
PRIOR_FACTOR = 2.0  # the pointer's own size is taken to be right to about this factor
SMOOTHING = 5  # neighbouring sizes averaged


def choose_size(
    pointer: Float[np.ndarray, "document"], evidence: Float[np.ndarray, "document"], claimed: float
) -> tuple[float, tuple[tuple[float, float], ...]]:
    """The size at which pointer and evidence agree best, and the (size, score) curve that says so.

    Args:
        evidence: read by models that did not see the document.
        claimed: the size that the pointer suggests by itself, centre of the prior.
    """
    kappas = np.array([kappa(top(pointer, size), top(evidence, size)) for size in SIZES])
    padded = np.pad(kappas, SMOOTHING // 2, mode="edge")
    smooth = np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), "valid")
    prior = np.exp(-0.5 * (np.log(np.array(SIZES) / claimed) / np.log(PRIOR_FACTOR)) ** 2)
    scores = np.maximum(smooth, 0.01) * prior
    curve = tuple((size, float(score)) for size, score in zip(SIZES, scores, strict=True))
    return SIZES[int(scores.argmax())], curve


def top(scores: Float[np.ndarray, "document"], size: float) -> Bool[np.ndarray, "document"]:
    """The best-scored share `size` of the documents, at least one."""
    claims = np.zeros(len(scores), dtype=bool)
    claims[np.argsort(-scores, kind="stable")[: max(1, round(size * len(scores)))]] = True
    return claims


def kappa(first: Bool[np.ndarray, "document"], second: Bool[np.ndarray, "document"]) -> float:
    """Agreement of two claims beyond chance: 1 for the same, 0 for independent ones."""
    observed = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return (observed - chance) / (1 - chance) if chance < 1 else 0.0
