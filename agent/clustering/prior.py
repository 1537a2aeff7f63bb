"""What the pointer says of the real texts and how far it is believed: found once, before any round. Maths only.

Trust comes from `agent/clustering/trust.py`. Every re-clustering uses what is found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from agent.clustering.trust import Trust, estimate_trust
from agent.corpora.passages import document_folds
from agent.errors import BasinError
from agent.membership.ridge import (
    NOT_FINITE,
    CrossFittedHalves,
    CrossFittedRidge,
    Projection,
    document_means,
    numbered,
    sigmoid,
    threshold,
)
from agent.types import StageConfig, seed_for

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


class SelfTrainingConfig(StageConfig):
    """How the first refiner, `agent/clustering/self_training.py`, weighs things; read by that method alone."""

    trust: float = Field(1.0, ge=0)
    """Weight of the pointer's log-odds in the posterior; 1 counts it as one independent witness."""
    steps: int = Field(3, ge=1)
    damping: float = Field(0.5, ge=0, lt=1)
    """Share of the old membership kept in a step."""


class FadingConfig(StageConfig):
    """How trust in the pointer fades, see `agent/clustering/annealing.py`; read by that method, and by a basin map."""

    rounds: int | None = Field(5, ge=1)
    """Rounds over which trust falls from 1 to 0; None holds it at 1, and then the fixed point remembers its start."""
    sharpness: float = Field(8.0, gt=0)
    """Nats of membership per standard deviation of the documents' scores. Soft boundaries flow on to whatever is largest in
    the corpus, hard ones stop at the first of many fixed points."""
    embeddings: bool = True
    """Hear a sentence embedder beside the language model's activations."""


class ClusteringConfig(StageConfig):
    """How the boundary is redrawn."""

    method: Literal["ridge", "mixture", "self_training", "fading"] = "ridge"
    """Two witnesses with a linear or a mixture reading; the first refiner; or self-training in which trust fades."""
    self_training: SelfTrainingConfig = SelfTrainingConfig()
    fading: FadingConfig = FadingConfig()
    evidence_weight: Literal["earned"] | Annotated[float, Field(ge=0)] = "earned"
    """Weight of the activations beside the pointer's 1, both standardised over documents; earned: see trust.py."""
    feedback_weight: float = Field(0.6, ge=0)
    """Share of its earned weight with which evidence is heard in what the next classifier is taught. At 0 the pointer
    alone teaches; near 1 evidence confirms its own mistakes and the notion drifts. 0 is taken where most documents are of
    one passage, whose own noise cannot be told from what the document is about."""
    size: Literal["bounds", "mass", "presence"] | Annotated[float, Field(gt=0, lt=1)] = "bounds"
    """Share of the corpus the concept claims: between the pointer's mass and what the activations allow; the mass; the
    share of documents it speaks in; or a number. Of a seeded topic, whose mass bounds nothing, bounds means presence."""
    steps: int = Field(2, ge=1)
    """Times that evidence is taught again in a round."""
    components: int = Field(150, ge=2)
    """Principal components of the activations that the classifier sees."""
    penalty: float = Field(1.0, gt=0)
    """Ridge penalty in units of a feature's mean variance times the number of training passages."""
    folds: int = Field(6, ge=2)
    divisions: int = Field(4, ge=1)
    """Ways of dividing the documents into folds; scores are averaged over them."""
    shuffles: int = Field(49, ge=9)
    """Shuffled pointers that the true one must be told from."""
    min_z_score: float = Field(2.0, gt=0)
    """Deviations above the shuffled pointers' mean from which there is a concept; 2 lets two shuffles in a hundred pass."""
    max_document_spread: float = Field(0.75, gt=0, le=1)
    """Share of the documents over which a pointer may be spread; function words are spread over more than nine tenths,
    topics over less than two thirds."""
    generated_share: float = Field(0.1, ge=0, le=0.5)
    """Share of the training weight that generated texts may have together; they never outweigh the real ones."""
    mixture_components: int = Field(16, ge=2)

    @property
    def use_embeddings(self) -> bool:
        """Whether texts have to be embedded, too."""
        return self.method == "fading" and self.fading.embeddings

    def of_pointer(self, seeded: bool) -> ClusteringConfig:
        """The same with the way to a size that a pointer of this kind allows."""
        return self.model_copy(update={"size": "presence"}) if seeded and self.size == "bounds" else self


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


def document_mean(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Every passage's value replaced by the mean over its document."""
    document_of = numbered(document_of)
    return document_means(values, document_of)[document_of]


def document_membership(
    pooled: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], size: float
) -> Float[np.ndarray, "passage"]:
    """Membership of whole documents, with mean `size` over the passages.

    Given what a document is about its passages are independent witnesses (mediation), so their log-odds add up:
    sigmoid(n_d (mean log-odds - b)), with b set by the size.
    """
    passages = np.bincount(document_of)[document_of].astype(np.float64)
    shift = threshold(pooled, size, passages)
    return sigmoid(passages * (pooled - shift))


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
