"""Rival methods that refine a pointer with activations; none of them is tuned with gold labels.

A rival is a function from seen texts to a reader of unseen ones. All get the same activations, the
same pointer and the same claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import normalize
from sklearn.semi_supervised import LabelSpreading

from agent.membership.documents import document_mean
from agent.membership.log_odds import calibration_slope, log_odds
from agent.membership.projection import Projection

COMPONENTS = 150
PENALTY = 1.0
"""Ridge penalty of the linear rivals in units of a feature's mean variance, as the refiner's."""


@dataclass(frozen=True)
class SeenTexts:
    """The inputs of every method."""

    activations: Float[np.ndarray, "passage layer width"]
    pointer_log_odds: Float[np.ndarray, "passage"]
    document_of: Int[np.ndarray, "passage"]
    claims: Float[np.ndarray, "passage"]
    """The pointer's own membership, documents pooled, with mean equal to its claimed size."""

    @cached_property
    def projection(self) -> Projection:
        return Projection.fit(self.activations, COMPONENTS)

    @cached_property
    def features(self) -> Float[np.ndarray, "passage feature"]:
        return self.projection.apply(self.activations)

    @property
    def size(self) -> float:
        return float(self.claims.mean())

    @property
    def claimed(self) -> int:
        """The number of passages that the pointer claims."""
        return max(2, round(self.size * len(self.claims)))

    @property
    def surest(self) -> Int[np.ndarray, "passage"]:
        """Passages by falling claim."""
        return np.argsort(-self.claims, kind="stable")


Reader = Callable[
    [Float[np.ndarray, "text layer width"], Float[np.ndarray, "text"]], Float[np.ndarray, "text"]
]
"""Activations and pointer log-odds of unseen texts to log-odds of belonging, each text alone."""
Rival = Callable[[SeenTexts, int], Reader]


def pointer_itself(seen: SeenTexts, seed: int) -> Reader:
    """The pointer, or the topic, unchanged."""
    return lambda activations, pointer: pointer


def weak_to_strong(seen: SeenTexts, seed: int) -> Reader:
    """A linear classifier trained once on the topic's claims."""
    return linear_reader(seen.projection, seen.activations, seen.claims)


def label_spreading(seen: SeenTexts, seed: int, neighbours: int = 15) -> Reader:
    """Zhou et al. (2004) on nearest neighbours, from the claimed top and the lower half."""
    projection, order = seen.projection, seen.surest
    features = normalize(seen.features)
    labels = np.full(len(order), -1)
    labels[order[: seen.claimed]] = 1
    labels[order[len(order) // 2 :]] = 0
    model = LabelSpreading(kernel="knn", n_neighbors=min(neighbours, len(order) - 1), alpha=0.5, max_iter=100)
    model.fit(features, labels)
    spread = KNeighborsRegressor(min(neighbours, len(order)), weights="distance").fit(
        features, model.label_distributions_[:, 1]
    )
    return lambda activations, pointer: log_odds(spread.predict(normalize(projection.apply(activations))))


def self_training(seen: SeenTexts, seed: int, rounds: int = 4, folds: int = 6) -> Reader:
    """The prototype: logistic self-training on the document-pooled top, plus the topic's log-odds."""
    projection, features = seen.projection, seen.features
    classifier = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    fold = np.random.default_rng(seed).integers(folds, size=int(seen.document_of.max()) + 1)[seen.document_of]
    pooled = seen.claims
    for _ in range(rounds):
        labels = np.zeros(len(features), dtype=int)
        labels[np.argsort(-pooled, kind="stable")[: seen.claimed]] = 1
        evidence = np.zeros(len(features))
        for number in np.unique(fold):
            rest = fold != number
            if len(np.unique(labels[rest])) == 2:
                evidence[~rest] = classifier.fit(features[rest], labels[rest]).decision_function(
                    features[~rest]
                )
        pooled = document_mean(evidence + seen.pointer_log_odds, seen.document_of)
    classifier.fit(features, labels)
    return lambda activations, pointer: classifier.decision_function(projection.apply(activations)) + pointer


RIVALS: dict[str, Rival] = {
    "topic": pointer_itself,
    "pointer": pointer_itself,
    "topic-classifier": weak_to_strong,
    "topic-label-spreading": label_spreading,
    "prototype": self_training,
}


def linear_reader(
    projection: Projection,
    activations: Float[np.ndarray, "passage layer width"],
    labels: Float[np.ndarray, "passage"],
) -> Reader:
    """Ridge regression of labels in [0, 1] on the leading components; on gold labels the ceiling.

    Its scores are scaled to log-odds of the labels (Platt 1999).
    """
    features = projection.apply(activations)
    weights = Ridge(alpha=PENALTY * len(features)).fit(features, labels).coef_
    centre = features.mean(axis=0)
    weights = weights * (calibration_slope((features - centre) @ weights, labels) or 1.0)
    return _projected(projection, weights, -float(centre @ weights))


def _projected(projection: Projection, weights: Float[np.ndarray, "feature"], bias: float) -> Reader:
    return lambda activations, pointer: projection.apply(activations) @ weights + bias
