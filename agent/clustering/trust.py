"""How far to believe the pointer and the activations, decided without a label.

Pointer and activations are two witnesses of one latent: what a document is about. A third comes from training the same
classifier on disjoint halves of the documents and letting each read other passages. Given the latent, the three err
independently (mediation, in the words of natural latents; a one-factor model, in those of psychometrics), so their
correlations alone give each one's loading, its correlation with the latent (Spearman 1904, "General intelligence",
the correction for attenuation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.membership.documents import document_means
from agent.membership.ridge import CrossFittedHalves, CrossFittedRidge
from agent.membership.similarity import correlation

LARGEST_LOADING = 0.95
READ_WEIGHTS = (1.0, 4.0)
"""Bounds of the weight that evidence earns: on a hundred documents loadings are not known well enough to silence either."""
SMALLEST_CORRELATION = 1e-3  # keeps the loadings finite where there is nothing to find


@dataclass(frozen=True)
class Trust:
    """What the correlations say of the witnesses. Loadings are in [0, 1]."""

    correlation: float
    """Of held-out evidence with what it was taught, over documents."""
    null_mean: float
    """Of the same correlation where what is taught is shuffled over documents."""
    z_score: float
    """Deviations by which the activations know the pointer's log-odds better than shuffled ones."""
    half_loading: float
    """Of evidence learned from half of the documents."""
    evidence_loading: float
    pointer_loading: float

    @property
    def read_weight(self) -> float:
        """Weight of standardised evidence beside the standardised pointer, whose weight is 1, where texts are read.

        The best linear reading of the latent weighs each witness by loading / (1 - loading^2) (Thurstone 1935); bounded,
        because loadings are estimates.
        """
        earned = _precision(self.evidence_loading) / _precision(self.pointer_loading)
        return float(np.clip(earned, *READ_WEIGHTS))

    @property
    def taught_weight(self) -> float:
        """The same for what the next classifier is taught, with evidence as good as half of the documents makes it.

        Evidence that is taught again confirms its own mistakes; the loading of a half leaves those out.
        """
        shared = _above(self.correlation, self.null_mean)
        pointer = min(shared / max(self.half_loading, SMALLEST_CORRELATION), LARGEST_LOADING)
        return _precision(self.half_loading) / _precision(max(pointer, SMALLEST_CORRELATION))


def estimate_trust(
    share: Float[np.ndarray, "document"],
    pointer: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    ridge: CrossFittedRidge,
    halves: CrossFittedHalves,
    shuffles: int,
    seed: int,
) -> Trust:
    """Loadings of pointer and evidence, and how much less of a shuffled pointer the activations would have known.

    Args:
        share: the pointer's mean weight in each document, which is what evidence is taught.
        pointer: its mean log-odds, in which a pointer at anything is told from a shuffled one: the tail of a few
            documents with large weights is not.
        ridge: scores passages by models that saw no passage of their document.
        halves: the same, twice, from disjoint halves of the other documents.
        shuffles: how many shuffled pointers the null is estimated from.
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
    """How well held-out evidence that is taught the values knows them, and how well where they are shuffled."""
    null = [_agreement(values[order], document_of, ridge.quick_evidence) for order in orders]
    return _agreement(values, document_of, ridge.evidence), np.array(null)


def _agreement(
    pointer: Float[np.ndarray, "document"],
    document_of: Int[np.ndarray, "passage"],
    evidence: Callable[[Float[np.ndarray, "passage"]], Float[np.ndarray, "passage"]],
) -> float:
    """Correlation over documents of the pointer with evidence that was taught it on other documents."""
    if pointer.std() == 0:
        return 0.0
    return correlation(document_means(evidence(pointer[document_of]), document_of), pointer)


def _above(known: float, null_mean: float) -> float:
    """A correlation above that of shuffled pointers, which is negative in small corpora: leaving one out opposes it."""
    return max(known - null_mean, SMALLEST_CORRELATION)


def _precision(loading: float) -> float:
    return max(loading, SMALLEST_CORRELATION) / (1 - loading**2)
