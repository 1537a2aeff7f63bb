"""Texts as re-clustering sees them: activations, features, folds and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.config import ClusteringConfig
from agent.errors import BasinError
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_folds, numbered
from agent.membership.projection import Projection
from agent.types import seed_for


@dataclass(frozen=True)
class Texts:
    """Activations and pointer log-odds of some texts."""

    activations: Float[np.ndarray, "text layer width"]
    pointer_log_odds: Float[np.ndarray, "text"]
    degenerate: Bool[np.ndarray, "text"] | None = None
    """Generated texts outside any concept, since they are no English. None: not checked."""
    embeddings: Float[np.ndarray, "text column"] | None = None
    """By a sentence embedder, where the method of re-clustering uses one."""

    def joined(self, others: Texts) -> Texts:
        """These texts, then the others."""
        embeddings = None
        if self.embeddings is not None and others.embeddings is not None:
            embeddings = np.concatenate([self.embeddings, others.embeddings])
        return Texts(
            np.concatenate([self.activations, others.activations]),
            np.concatenate([self.pointer_log_odds, others.pointer_log_odds]),
            np.concatenate([self.known_degenerate, others.known_degenerate]),
            embeddings,
        )

    @property
    def known_degenerate(self) -> Bool[np.ndarray, "text"]:
        none = np.zeros(len(self.pointer_log_odds), dtype=bool)
        return none if self.degenerate is None else self.degenerate

    @property
    def recordings(self) -> tuple[Float[np.ndarray, "text _layer _width"], ...]:
        """The texts as each reader records them: the language model, then the sentence embedder."""
        if self.embeddings is None:
            return (self.activations,)
        return self.activations, self.embeddings[:, None]


@dataclass(frozen=True)
class View:
    """The real passages as one reader sees them, on their principal components."""

    projection: Projection
    features: Float[np.ndarray, "passage feature"]

    @classmethod
    def of(cls, recorded: Float[np.ndarray, "passage layer width"], components: int) -> View:
        """The view of activations; embeddings are a single layer. Raises as `Projection.fit`."""
        projection = Projection.fit(recorded, components)
        return cls(projection, projection.apply(recorded))


def divisions_of(
    document_of: Int[np.ndarray, "passage"], generated: int, config: ClusteringConfig, seed: int
) -> list[Int[np.ndarray, "text"]]:
    """One array of folds for each configured division; generated texts come last, in fold -1.

    Raises `BasinError` for fewer than two documents.
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


def cross_fitted(
    features: Float[np.ndarray, "passage feature"],
    document_of: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
    seed: int,
) -> CrossFittedRidge:
    """Ridge regression of real passages, every passage of weight 1. Raises as `divisions_of`."""
    divisions = divisions_of(document_of, 0, config, seed)
    return CrossFittedRidge(features, np.ones(len(features)), divisions, config.penalty)


@dataclass(frozen=True)
class TrainingSet:
    """What every refiner fits its classifiers on: the real passages, then the generated texts."""

    document_of: Int[np.ndarray, "passage"]
    """Numbered from 0 without gaps."""
    ridges: tuple[CrossFittedRidge, ...]
    """One for each view, that of activations first."""
    readers: tuple[CrossFittedRidge, ...]
    """The same on finer features, to read texts alone."""
    degenerate: Bool[np.ndarray, "generated"]
    """Generated texts that are trained on as outside."""


def training_set(
    real: Texts,
    generated: Texts | None,
    document_of: Int[np.ndarray, "passage"],
    views: Sequence[View],
    finer: Sequence[View],
    *,
    config: ClusteringConfig,
    seed: int,
) -> TrainingSet:
    """The features of both kinds of texts, with two classifiers for each reader of them.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    others = real if generated is None else generated
    extra = 0 if generated is None else len(generated.activations)
    weights = training_weights(len(document_of), extra, config.generated_share)
    divisions = divisions_of(document_of, extra, config, seed)

    def fitted(views: Sequence[View], penalty: float) -> tuple[CrossFittedRidge, ...]:
        features = [
            np.concatenate([view.features, view.projection.apply(recorded[:extra])])
            for view, recorded in zip(views, others.recordings, strict=True)
        ]
        return tuple(CrossFittedRidge(each, weights, divisions, penalty) for each in features)

    degenerate = np.zeros(0, dtype=bool) if generated is None else generated.known_degenerate
    ridges, readers = fitted(views, config.penalty), fitted(finer, config.reading_penalty)
    return TrainingSet(numbered(document_of), ridges, readers, degenerate)


def training_weights(real: int, generated: int, share: float) -> Float[np.ndarray, "text"]:
    """1 for a real passage; less for generated texts beyond `share` of the total."""
    weight = min(1.0, share / (1 - share) * real / generated) if generated else 0.0
    return np.concatenate([np.ones(real), np.full(generated, weight)])
