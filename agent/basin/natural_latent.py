"""Natural latents: can each half of a document tell its membership, and do halves share more?

Wentworth and Lorell, "Natural latents: the math" (2023). Observables are the two halves X1, X2 of a
document's passages. The latent Λ is one bit, inside the concept or not, with the membership m = P[Λ
= 1 | X1, X2]. Both conditions are measured in nats per document, through the concept's evidence,
one number a passage. So mediation is tested along the concept's own direction only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr

from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import soft_logistic
from agent.membership.similarity import standardised

FEWEST_DOCUMENTS = 10  # with several passages; fewer give no estimate
FOLDS = 5
NEGLIGIBLE = 1e-12  # rounding of a variance; keeps a perfect correlation finite


@dataclass(frozen=True)
class NaturalLatent:
    """Failure of each condition in nats per document; 0 is an exact natural latent."""

    redundancy: float
    """Mean information lost by reading one half: at most H(Λ | X1) - H(Λ | X1, X2)."""
    mediation: float
    """Information shared given Λ: I(X1; X2 | Λ) of halves that are Gaussian given Λ."""
    entropy: float
    """H(Λ), of the mean membership."""

    @property
    def redundancy_share(self) -> float:
        """`redundancy` over `entropy`; 0 where the entropy is 0.

        Where a half tells nothing it is about 1 - H(Λ | X1, X2) / H(Λ), and more for an
        overconfident half.
        """
        return self.redundancy / self.entropy if self.entropy > 0 else 0.0


def natural_latent(
    membership: Float[np.ndarray, "passage"],
    evidence: Float[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    seed: int,
) -> NaturalLatent | None:
    """Both conditions over the documents of several passages; None for fewer than ten of them.

    Args:
        membership: in [0, 1], averaged over each document: m.
        evidence: held-out scores of the passages.
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
    """Mean evidence of two random halves of each document's passages."""
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
    """Mean KL(Λ | X1, X2 || Λ | X1), held out: cross-entropy given a half, less the entropy."""
    scores = standardised(half)
    log_odds = np.empty(len(latent))
    for fold in range(FOLDS):
        seen = folds != fold
        log_odds[~seen] = soft_logistic(scores[seen], latent[seen]).decision_function(scores[~seen, None])
    return float((np.logaddexp(0, log_odds) - latent * log_odds - _entropy(latent)).mean())


def _shared(halves: Float[np.ndarray, "2 document"], latent: Float[np.ndarray, "document"]) -> float:
    """-log(1 - rho^2) / 2, with rho the partial correlation of the halves given the bit Λ, not
    given m.

    The bit's variance p (1 - p) replaces m's own. As m depends on both halves, conditioning on it
    would make them look opposed even where they share only Λ. For a sharp membership the two are
    equal.
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


def _entropy(shares: Float[np.ndarray, "*any"] | float) -> Float[np.ndarray, "*any"]:
    """Of bits, in nats."""
    return np.asarray(entr(shares) + entr(1 - shares))
