"""The pointer's scores, the trust in them and the concept's size, before the first round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.descent import Descent, StableSize, size_and_trust
from agent.clustering.round_map import MOST_IN_MATRIX, RoundMap
from agent.clustering.shuffles import z_score_of
from agent.clustering.texts import Texts, View, cross_fitted
from agent.membership.documents import document_means, document_membership, numbered
from agent.types import seed_for

RESTARTS = 3  # maps of other folds beside the run's
LABEL_SIZES = 5


@dataclass(frozen=True)
class Prior:
    """The pointer's scores of the real documents, the concept's size and the trust that stays."""

    pointer: Float[np.ndarray, "document"]
    """Mean log-odds of the pointer over each document's passages."""
    membership: Float[np.ndarray, "passage"]
    """Of the pointer alone, documents pooled, with mean `size`."""
    z_score: float
    """Deviations by which the activations know the pointer better than shuffled ones."""
    size: float
    """Where the map is most stable, if the concept stands there alone; else the pointer's claim."""
    label_sizes: tuple[float, ...]
    """The most stable ones where trust goes; else from the claim to their middle."""
    found: StableSize | None
    """Where the map is most stable; None where the size was given, or at no size."""
    descent: Descent | None
    """How far trust may fall; None where it was given."""
    least_trust: float
    """Trust in the pointer that stays: where it is not given, none or all."""
    views: tuple[View, ...]
    """The real passages by activations, then by sentence embeddings where these are used."""
    finer: tuple[View, ...]
    """The same on `reading_components`."""


def estimate_prior(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    claimed: float,
    config: ClusteringConfig,
    seed: int,
    *,
    topic: Float[np.ndarray, "passage"] | None = None,
) -> Prior:
    """Trust and size, estimated from the pointer and the real texts before the first round.

    Args:
        document_of: the document of every real passage.
        claimed: the pointer's own size, taken where none is found; the size itself where
            `config.size` is not "stable".
        topic: its log-odds, which shuffled ones are compared with; by default the pointer's.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    document_of = numbered(document_of)
    pointer = document_means(real.pointer_log_odds, document_of)
    views, finer = (
        tuple(View.of(recorded, count) for recorded in real.recordings)
        for count in (config.components, config.reading_components)
    )
    ridge = cross_fitted(views[0].features, document_of, config, seed)
    tried = pointer if topic is None else document_means(topic, document_of)
    z_score = z_score_of(tried, document_of, ridge, config.shuffles, seed_for(seed, 0, "shuffles"))
    size, found, descent = claimed, None, None
    if z_score >= config.min_z_score and (config.size == "stable" or config.trust == "earned"):
        maps, known = restart_maps(views, document_of, pointer, claimed, config=config, seed=seed)
        size, found, descent = size_and_trust(maps, known, config, seed)
    least = config.trust if isinstance(config.trust, float) else float(not descent or descent.least > 0)
    stable = found.size if found else claimed
    ends = (found.low, found.high) if found and least == 0 else (claimed, stable)
    labels = tuple(np.geomspace(*ends, LABEL_SIZES))
    membership = document_membership(pointer[document_of], document_of, size)
    return Prior(pointer, membership, z_score, size, labels, found, descent, least, views, finer)


def restart_maps(
    views: Sequence[View],
    document_of: Int[np.ndarray, "passage"],
    pointer: Float[np.ndarray, "document"],
    size: float,
    *,
    config: ClusteringConfig,
    seed: int,
) -> tuple[list[RoundMap], Float[np.ndarray, "sampled"]]:
    """The run's map and those of other folds, and the pointer of the documents that they read.

    Of many documents a random sample is read, so that the map is a matrix.
    """
    order = np.random.default_rng(seed_for(seed, 0, "sample")).permutation(len(pointer))
    chosen = np.sort(order[:MOST_IN_MATRIX])
    rows = np.isin(document_of, chosen)
    features = [view.features[rows] for view in views]
    seeds = [seed, *(seed_for(seed, number, "restart") for number in range(1, RESTARTS + 1))]
    maps = [RoundMap.of_views(features, document_of[rows], size, config, each) for each in seeds]
    return maps, pointer[chosen]


def no_concept(z_score: float, document_spread: float, config: ClusteringConfig) -> str | None:
    """Why there is no concept at the pointer, as a sentence, or None where there is one.

    Args:
        document_spread: share of the documents that the pointer covers; see
            `PointerReading.document_spread`.
    """
    if z_score < config.min_z_score:
        return (
            "No concept here: the activations fit this pointer hardly better than a shuffled one (z-score "
            f"{z_score:.1f}, minimum {config.min_z_score:.1f}); look at the topic (`basin topics`), or lower "
            "clustering.min_z_score."
        )
    if document_spread > config.max_document_spread:
        return (
            f"No concept here: the pointer covers {document_spread:.0%} of the documents, as function words do (maximum "
            f"{config.max_document_spread:.0%}); take another topic (`basin topics`), or raise "
            "clustering.max_document_spread."
        )
    return None


def size_sentence(prior: Prior, config: ClusteringConfig) -> str:
    """The size and how it was found."""
    if prior.found is None:
        note = " (the map is stable at no size, so it is the pointer's)" if config.size == "stable" else ""
        return f"The concept is {prior.size:.1%} of the corpus{note}."
    size = f"The concept is {prior.size:.1%} of the corpus"
    stable = f"{prior.found.low:.1%} to {prior.found.high:.1%}"
    if prior.size != prior.found.size:
        return f"{size}, as its pointer claims; the round map is most stable at {stable}."
    return f"{size}, the middle of {stable}, where the round map is most stable."


def trust_sentence(prior: Prior) -> str:
    """Where trust in the pointer stops, and why."""
    if prior.descent and (reason := prior.descent.stopped):
        return f"Trust in the pointer stays: at {prior.descent.levels[-1].trust:.1f} {reason}."
    return f"Trust in the pointer falls to {prior.least_trust:.1f}."
