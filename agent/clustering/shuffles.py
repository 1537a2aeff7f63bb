"""Whether the activations know a pointer better than shuffled ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_means
from agent.membership.similarity import correlation


def z_score_of(
    pointer: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    ridge: CrossFittedRidge,
    shuffles: int,
    seed: int,
) -> float:
    """Deviations by which held-out scores predict the pointer better than shuffled pointers.

    In log-odds: shares have a tail of a few large weights, which hides a signal.
    """
    generator = np.random.default_rng(seed)
    null = np.array(
        [
            _agreement(pointer[generator.permutation(len(pointer))], document_of, ridge.quick_evidence)
            for _ in range(shuffles)
        ]
    )
    known = _agreement(pointer, document_of, ridge.evidence)
    return float((known - null.mean()) / max(null.std(), 1e-9))


def _agreement(
    pointer: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    evidence: Callable[[Float[np.ndarray, "passage"]], Float[np.ndarray, "passage"]],
) -> float:
    """Correlation over documents of the pointer with held-out evidence for it."""
    if pointer.std() == 0:
        return 0.0
    return correlation(document_means(evidence(pointer[document_of]), document_of), pointer)
