"""How nearly a membership is a natural latent of documents: can each half be read for it, and is it all they share?

Wentworth and Lorell, "Natural latents: the math" (2023). Observables are the two halves X1, X2 of a document's passages;
the latent Λ is one bit, in the concept or not, drawn with the membership m = P[Λ = 1 | X1, X2]. Both conditions are
measured in nats per document, through the concept's evidence, one number a passage. Mediation is therefore tested along
the concept's own direction only: what halves share in any other direction is not seen. Maths only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr

from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import soft_logistic
from agent.membership.similarity import standardised

FEWEST_DOCUMENTS = 10  # of two or more passages; fewer say nothing about a condition
FOLDS = 5
NEGLIGIBLE = 1e-12  # of a variance: rounding; of 1 - rho^2: what keeps a perfect correlation finite


@dataclass(frozen=True)
class NaturalLatent:
    """By how much each condition fails, in nats per document; 0 is an exact natural latent."""

    redundancy: float
    """Lost when one half is read instead of both: H(Λ | X1) - H(Λ | X1, X2) at most, mean over the halves."""
    mediation: float
    """Still shared when Λ is known: I(X1; X2 | Λ) of halves that are Gaussian given Λ."""
    entropy: float
    """H(Λ), of the mean membership."""

    @property
    def redundancy_share(self) -> float:
        """`redundancy` over `entropy`; 0 where nothing is uncertain.

        About 1 - H(Λ | X1, X2) / H(Λ) where a half says nothing: 1 for a sharp membership, less for a soft one. An
        overconfident half can exceed it.
        """
        return self.redundancy / self.entropy if self.entropy > 0 else 0.0


def natural_latent(
    membership: Float[np.ndarray, "passage"],
    evidence: Float[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    seed: int,
) -> NaturalLatent | None:
    """Both conditions over the documents of two or more passages; None where there are fewer than ten of them.

    Args:
        membership: in [0, 1], averaged over each document: m.
        evidence: log-odds or any score, of passages by models that did not see their document.
        document_of: the document of every passage, any numbers.
        seed: of the division into halves and of the folds.
    """
    documents = numbered(document_of)
    several = (np.bincount(documents) > 1)[documents]
    documents = numbered(documents[several])
    if not len(documents) or documents.max() + 1 < FEWEST_DOCUMENTS:
        return None
    generator = np.random.default_rng(seed)
    latent = np.clip(document_means(membership[several], documents), 0, 1)
    halves = _halves(evidence[several], documents, generator)
    folds = generator.permutation(len(latent)) % FOLDS
    lost = [_divergence(latent, half, folds) for half in halves]
    return NaturalLatent(float(np.mean(lost)), _shared(halves, latent), float(_entropy(latent.mean())))


def _halves(
    evidence: Float[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "2 document"]:
    """Mean evidence of the odd and of the even passages of each document, its passages shuffled."""
    order = generator.permutation(len(document_of))
    order = order[np.argsort(document_of[order], kind="stable")]
    document_of, evidence = document_of[order], evidence[order]
    odd = (np.arange(len(order)) - np.searchsorted(document_of, document_of)) % 2 == 0
    return np.stack([document_means(evidence[part], document_of[part]) for part in (odd, ~odd)])


def _divergence(
    latent: Float[np.ndarray, "document"],
    half: Float[np.ndarray, "document"],
    folds: Int[np.ndarray, "document"],
) -> float:
    """Mean KL(Λ | X1, X2 || Λ | X1): cross-entropy of the bit as one half predicts it, less its own entropy; held out."""
    scores = standardised(half)
    log_odds = np.empty(len(latent))
    for fold in range(FOLDS):
        seen = folds != fold
        log_odds[~seen] = soft_logistic(scores[seen], latent[seen]).decision_function(scores[~seen, None])
    return float((np.logaddexp(0, log_odds) - latent * log_odds - _entropy(latent)).mean())


def _shared(halves: Float[np.ndarray, "2 document"], latent: Float[np.ndarray, "document"]) -> float:
    """-log(1 - rho^2) / 2, with rho the partial correlation of the halves given the bit Λ, not given m.

    The bit's variance, p (1 - p), stands where m's own would: m was read off both halves, and to hold it fixed would
    make them look opposed even where Λ is all they share. For a sharp membership the two are the same.
    """
    size = float(latent.mean())
    together = np.cov(halves, bias=True)
    with_latent = (halves - halves.mean(axis=1, keepdims=True)) @ (latent - size) / len(latent)
    variance = size * (1 - size)
    given = together - np.outer(with_latent, with_latent) / variance if variance > 0 else together
    variances = np.diag(given)
    if (variances <= NEGLIGIBLE * np.diag(together)).any():
        return 0.0
    squared = given[0, 1] ** 2 / np.prod(variances)
    return float(-0.5 * np.log(max(1 - squared, NEGLIGIBLE)))


def _entropy(shares: Float[np.ndarray, "*any"] | float) -> Float[np.ndarray, "*any"] | float:
    """Of bits, in nats."""
    return entr(shares) + entr(1 - shares)
