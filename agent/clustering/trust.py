"""Trust in the pointer and in the activations, estimated without labels from a one-factor model.

Pointer and activations are two witnesses of one latent, the document's subject. A third comes from
training the same classifier on disjoint halves of the documents, each half scoring other passages.
Given the latent their errors are independent (mediation, in the words of natural latents). So their
correlations give each one's loading, which is its correlation with the latent (Spearman 1904,
"General intelligence", the correction for attenuation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.membership.classifiers import CrossFittedHalves, CrossFittedRidge
from agent.membership.documents import document_means
from agent.membership.similarity import correlation

LARGEST_LOADING = 0.95
READ_WEIGHTS = (1.0, 4.0)
"""Bounds of the weight of evidence, since loadings are uncertain on few documents."""
SMALLEST_CORRELATION = 1e-3  # keeps the loadings finite where there is nothing to find


@dataclass(frozen=True)
class Trust:
    """Correlations and loadings of the witnesses. Loadings are in [0, 1]."""

    correlation: float
    """Of held-out evidence with its targets, over documents."""
    null_mean: float
    """Of the same correlation with targets shuffled over documents."""
    z_score: float
    """Deviations by which the activations predict the pointer better than shuffled ones."""
    half_loading: float
    """Of evidence from half of the documents."""
    evidence_loading: float
    pointer_loading: float

    @property
    def read_weight(self) -> float:
        """Weight of standardised evidence in results, beside the standardised pointer's 1.

        The best linear estimate of the latent weighs each witness by loading / (1 - loading^2)
        (Thurstone 1935). The weight is bounded, because loadings are estimates.
        """
        earned = _precision(self.evidence_loading) / _precision(self.pointer_loading)
        return float(np.clip(earned, *READ_WEIGHTS))

    @property
    def target_weight(self) -> float:
        """The same weight in the next classifier's targets, with the loading of evidence from half
        of the documents.

        Evidence that returns as a target confirms its own mistakes, which the loading of a half
        does not count.
        """
        shared = _above(self.correlation, self.null_mean)
        pointer = min(shared / max(self.half_loading, SMALLEST_CORRELATION), LARGEST_LOADING)
        return _precision(self.half_loading) / _precision(max(pointer, SMALLEST_CORRELATION))


def estimate_trust(
    share: Float[np.ndarray, "document"],
    pointer: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    *,
    ridge: CrossFittedRidge,
    halves: CrossFittedHalves,
    shuffles: int,
    seed: int,
) -> Trust:
    """Loadings of pointer and evidence, and a z-score against shuffled pointers.

    Args:
        share: the pointer's mean weight in each document, the target of evidence.
        pointer: its mean log-odds, for the z-score: shares have a tail of a few large weights,
            which hides a signal.
        ridge: held-out scores.
        halves: the same from two disjoint halves of the other documents.
        shuffles: number of shuffled pointers that the null is estimated from.
    """
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(share)) for _ in range(shuffles)]
    known, null = _knowledge(share, document_of, ridge, orders)
    of_pointer, of_shuffled = _knowledge(pointer, document_of, ridge, orders)
    between = max(halves.correlation(share[document_of], document_of), SMALLEST_CORRELATION)
    whole = float(np.sqrt(2 * between / (1 + between)))  # Spearman-Brown: both halves together
    null_mean = float(null.mean())
    return Trust(
        correlation=known,
        null_mean=null_mean,
        z_score=float((of_pointer - of_shuffled.mean()) / max(of_shuffled.std(), 1e-9)),
        half_loading=min(float(np.sqrt(between)), LARGEST_LOADING),
        evidence_loading=min(whole, LARGEST_LOADING),
        pointer_loading=min(_above(known, null_mean) / whole, LARGEST_LOADING),
    )


def _knowledge(
    values: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    ridge: CrossFittedRidge,
    orders: Sequence[Int[np.ndarray, "document"]],
) -> tuple[float, Float[np.ndarray, "shuffle"]]:
    """Correlation of the values with their held-out evidence, and the same when shuffled."""
    null = [_agreement(values[order], document_of, ridge.quick_evidence) for order in orders]
    return _agreement(values, document_of, ridge.evidence), np.array(null)


def _agreement(
    pointer: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    evidence: Callable[[Float[np.ndarray, "passage"]], Float[np.ndarray, "passage"]],
) -> float:
    """Correlation over documents of the pointer with held-out evidence for it."""
    if pointer.std() == 0:
        return 0.0
    return correlation(document_means(evidence(pointer[document_of]), document_of), pointer)


def _above(known: float, null_mean: float) -> float:
    """A correlation less that of shuffled pointers, which is negative in small corpora."""
    return max(known - null_mean, SMALLEST_CORRELATION)


def _precision(loading: float) -> float:
    return max(loading, SMALLEST_CORRELATION) / (1 - loading**2)
