"""The pointer's scores, the trust in them and the concept's size, before the first round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.texts import Texts, View, cross_fitted
from agent.clustering.trust import Trust, estimate_trust
from agent.membership.classifiers import CrossFittedHalves
from agent.membership.documents import document_folds, document_means, document_membership, numbered
from agent.membership.log_odds import sigmoid
from agent.membership.projection import Projection
from agent.types import seed_for

FEWEST_KEPT = 0.2
"""Cuts that keep a smaller share of the surest texts are skipped: they rest on too few."""


def choose_size(
    evidence: Float[np.ndarray, "passage"], surest: Bool[np.ndarray, "passage"], mass: float
) -> tuple[float, tuple[tuple[float, float], ...]]:
    """The size, and its upper bounds by rising cut: (share of the surest kept, bound).

    Args:
        evidence: held-out scores.
        surest: passages of the documents with the highest pointer scores, as many as the pointer
            claims.
        mass: the share of the corpus that the pointer claims, in (0, 1).

    Raises:
        ValueError: no passage is surest, or the mass is no share.
    """
    if not surest.any() or not 0 < mass < 1:
        raise ValueError(f"no upper bound for a mass of {mass} and {int(surest.sum())} surest passages")
    cuts = np.quantile(evidence[surest], np.linspace(0, 1 - FEWEST_KEPT, 17))
    kept = np.array([(evidence[surest] >= cut).mean() for cut in cuts])
    bounds = np.array([(evidence >= cut).mean() for cut in cuts]) / kept
    curve = tuple((float(share), float(bound)) for share, bound in zip(kept, bounds, strict=True))
    return float(np.sqrt(mass * np.clip(bounds.min(), mass, 1.0))), curve


@dataclass(frozen=True)
class Prior:
    """The pointer's scores of the real documents, their trust, and the concept's size."""

    pointer: Float[np.ndarray, "document"]
    """Mean log-odds of the pointer over each document's passages."""
    share: Float[np.ndarray, "document"]
    """Mean weight of the pointer over each document's passages, in [0, 1]. It is the target, since
    log-odds would mostly tell how far outside a text is."""
    membership: Float[np.ndarray, "passage"]
    """Of the pointer alone, documents pooled, with mean `size`."""
    trust: Trust
    size: float
    size_curve: tuple[tuple[float, float], ...]
    """Upper bounds of the size, see `choose_size`; empty where the size was given."""
    views: tuple[View, ...]
    """The real passages by activations, then by sentence embeddings where these are used."""


def estimate_prior(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    claimed: float,
    config: ClusteringConfig,
    seed: int,
    *,
    projection: Projection | None = None,
) -> Prior:
    """Trust and size, estimated from the pointer and the real texts before the first round.

    Args:
        document_of: the document of every real passage.
        claimed: the pointer's own size; its mass where `config.size` is "bounds", else the size
            itself.
        projection: of these activations, where it is known.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    document_of = numbered(document_of)
    pointer = document_means(real.pointer_log_odds, document_of)
    share = document_means(sigmoid(real.pointer_log_odds), document_of)
    views = [View.of(real.activations, config.components, projection)]
    views += [View.of(recorded, config.components) for recorded in real.recordings[1:]]
    ridge = cross_fitted(views[0].features, document_of, config, seed)
    divisions = [folds for folds, _ in ridge.divisions[:2]]
    halves = [
        document_folds(document_of, 2, seed_for(seed, number, "halves")) for number in range(len(divisions))
    ]
    trust = estimate_trust(
        share,
        pointer,
        document_of,
        ridge=ridge,
        halves=CrossFittedHalves(ridge.features, divisions, halves, config.penalty),
        shuffles=config.shuffles,
        seed=seed_for(seed, 0, "shuffles"),
    )
    size: float = claimed
    curve: tuple[tuple[float, float], ...] = ()
    if config.size == "bounds":
        surest = np.argsort(-pointer, kind="stable")[: max(1, round(claimed * len(pointer)))]
        evidence = ridge.evidence(share[document_of])
        size, curve = choose_size(evidence, np.isin(document_of, surest), claimed)
    membership = document_membership(pointer[document_of], document_of, size)
    return Prior(pointer, share, membership, trust, size, curve, tuple(views))


def no_concept(trust: Trust, document_spread: float, config: ClusteringConfig) -> str | None:
    """Why there is no concept at the pointer, as a sentence, or None where there is one.

    Args:
        document_spread: share of the documents that the pointer covers; see
            `PointerReading.document_spread`.
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
