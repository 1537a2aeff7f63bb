"""What the pointer says of the real texts and how far it is believed: found once, before any round. Maths only.

Trust comes from `agent/clustering/trust.py`. Every re-clustering uses what is found here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.trust import Trust, estimate_trust
from agent.corpora.passages import document_folds
from agent.errors import BasinError
from agent.membership.documents import document_means, document_membership, numbered
from agent.membership.log_odds import sigmoid
from agent.membership.projection import NOT_FINITE, Projection
from agent.membership.ridge import CrossFittedHalves, CrossFittedRidge
from agent.types import seed_for

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


@dataclass(frozen=True)
class Texts:
    """What re-clustering knows of some texts."""

    activations: Float[np.ndarray, "text layer width"]
    pointer_log_odds: Float[np.ndarray, "text"]
    degenerate: Bool[np.ndarray, "text"] | None = None
    """Generated texts that are no English: outside whatever concept it is, and taught as that. None: nobody has looked."""
    embeddings: Float[np.ndarray, "text column"] | None = None
    """By a sentence embedder, where a method of re-clustering hears one."""

    def joined(self, others: Texts) -> Texts:
        """These texts, then the others."""
        both = self.embeddings is not None and others.embeddings is not None
        return Texts(
            np.concatenate([self.activations, others.activations]),
            np.concatenate([self.pointer_log_odds, others.pointer_log_odds]),
            np.concatenate([self.known_degenerate, others.known_degenerate]),
            np.concatenate([self.embeddings, others.embeddings]) if both else None,
        )

    @property
    def known_degenerate(self) -> Bool[np.ndarray, "text"]:
        return (
            np.zeros(len(self.pointer_log_odds), dtype=bool) if self.degenerate is None else self.degenerate
        )


@dataclass(frozen=True)
class View:
    """The real passages as one reader sees them."""

    projection: Projection
    features: Float[np.ndarray, "passage feature"]

    @classmethod
    def of(cls, activations: Float[np.ndarray, "passage layer width"], components: int) -> View:
        """Activations on their principal components; embeddings are those of a single layer."""
        projection = Projection.fit(activations, components)
        return cls(projection, projection.apply(activations))


@dataclass(frozen=True)
class Prior:
    """What the pointer says of the real documents and how far it is believed: found once, the same in every round."""

    pointer: Float[np.ndarray, "document"]
    """Mean log-odds of the pointer over each document's passages: how documents are read."""
    share: Float[np.ndarray, "document"]
    """Mean weight of the pointer over each document's passages, in [0, 1]: what is taught. Log-odds would dwell on how
    far outside a text is, which teaches nothing."""
    membership: Float[np.ndarray, "passage"]
    """What the pointer itself claims, documents pooled, with mean `size`."""
    trust: Trust
    size: float
    size_curve: tuple[tuple[float, float], ...]
    """The curve of upper bounds that the size was chosen under, see `choose_size`; empty where it was given."""
    projection: Projection
    features: Float[np.ndarray, "passage feature"]
    """Of the real passages."""
    second: View | None = None
    """Of their sentence embeddings, where these are heard, too."""


def prior(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    claimed: float,
    config: ClusteringConfig,
    seed: int,
    *,
    projection: Projection | None = None,
) -> Prior:
    """Estimate trust and size from the pointer and the real texts, before any round.

    Args:
        document_of: the document index of every real passage.
        claimed: the size that the pointer itself suggests; its mass where `config.size` is "bounds", else taken as it is.
        projection: of these activations, where it is at hand.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    document_of = numbered(document_of)
    projection = projection or Projection.fit(real.activations, config.components)
    features = features_of(real, projection)
    divisions = divisions_of(document_of, 0, config, seed)
    ridge = CrossFittedRidge(features, np.ones(len(features)), divisions, config.penalty)
    halves = [
        document_folds(document_of, 2, seed_for(seed, number, "halves"))
        for number in range(min(2, len(divisions)))
    ]
    pairs = CrossFittedHalves(features, divisions[: len(halves)], halves, config.penalty)
    pointer = document_means(real.pointer_log_odds, document_of)
    share = document_means(sigmoid(real.pointer_log_odds), document_of)
    shuffling = seed_for(seed, 0, "shuffles")
    trust = estimate_trust(share, pointer, document_of, ridge, pairs, config.shuffles, shuffling)
    size, curve = claimed, ()
    if config.size == "bounds":
        surest = np.argsort(-pointer, kind="stable")[: max(1, round(claimed * len(pointer)))]
        evidence = ridge.evidence(share[document_of])
        size, curve = choose_size(evidence, np.isin(document_of, surest), claimed)
    membership = document_membership(pointer[document_of], document_of, size)
    second = None if real.embeddings is None else View.of(real.embeddings[:, None], config.components)
    return Prior(pointer, share, membership, trust, size, curve, projection, features, second)


def no_concept(trust: Trust, document_spread: float, config: ClusteringConfig) -> str | None:
    """A sentence that explains why a pointer singles out nothing, or None where it does.

    Args:
        document_spread: share of the documents that the pointer covers; see `PointerReading.document_spread`.
    """
    if trust.z_score < config.min_z_score:
        return (
            "No concept here: the activations fit this pointer hardly better than a shuffled one (z-score "
            f"{trust.z_score:.1f}, minimum {config.min_z_score:.1f}); look at the topic (`basin topics`), or lower "
            "clustering.min_z_score."
        )
    if document_spread > config.max_document_spread:
        return (
            f"No concept here: the pointer covers {document_spread:.0%} of the documents, as function words do (maximum "
            f"{config.max_document_spread:.0%}); take another topic (`basin topics`), or raise "
            "clustering.max_document_spread."
        )
    return None


def features_of(texts: Texts, projection: Projection) -> Float[np.ndarray, "text feature"]:
    """Features of the texts. Raises BasinError where they are not finite."""
    features = projection.apply(texts.activations)
    if not np.isfinite(features).all():
        raise BasinError(NOT_FINITE)
    return features


def divisions_of(
    document_of: Int[np.ndarray, "passage"], generated: int, config: ClusteringConfig, seed: int
) -> list[Int[np.ndarray, "text"]]:
    """Folds of the passages, whole documents together, as often as configured; -1 for generated texts, which follow.

    Raises BasinError for fewer than two documents.
    """
    documents = len(np.unique(document_of))
    if documents < 2:
        raise BasinError("One document cannot be clustered; give a corpus of several documents.")
    folds = min(config.folds, documents)
    outside = np.full(generated, -1, dtype=np.int64)
    return [
        np.concatenate([document_folds(document_of, folds, seed_for(seed, number, "folds")), outside])
        for number in range(config.divisions)
    ]
