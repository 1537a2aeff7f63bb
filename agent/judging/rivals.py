"""Rival methods that refine a pointer with activations; none of them is tuned with gold labels.

A rival is a function from seen texts to a reader of unseen ones. All get the same activations, the
same pointer and the same claim.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import normalize
from sklearn.semi_supervised import LabelSpreading

from agent.membership.documents import document_folds, document_mean, document_means
from agent.membership.log_odds import calibration_slope, log_odds
from agent.membership.projection import Projection
from agent.membership.similarity import correlation

COMPONENTS = 150
PENALTY = 1.0
"""Ridge penalty of the linear rivals in units of a feature's mean variance, as the refiner's."""
LEADING = (8, 16, 32)
"""Numbers of leading components to choose from; in more dimensions every text is an outlier."""
GAUSSIANS = (8, 16, 32)
"""Numbers of clusters to choose from."""


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


def topic(seen: SeenTexts, seed: int) -> Reader:
    """The topic itself."""
    return lambda activations, pointer: pointer


def weak_to_strong(seen: SeenTexts, seed: int) -> Reader:
    """A linear classifier trained once on the topic's claims."""
    return linear_reader(seen.projection, seen.activations, seen.claims)


def positive_unlabelled(seen: SeenTexts, seed: int, steps: int = 400) -> Reader:
    """Linear non-negative PU learning with sigmoid loss (Kiryo et al. 2017, 1703.00593, eq. 6).

    The topic's surest passages, as many as it claims, are the positives; the topic's size is the
    class prior. Trained by Adam, with a ridge penalty.
    """
    features = torch.tensor(seen.features, dtype=torch.float32)
    positive = torch.tensor(seen.surest[: seen.claimed].copy())
    weights, bias = torch.zeros(features.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=0.02)
    for _ in range(steps):
        of_all = features @ weights + bias
        of_positive = of_all[positive]
        risk_positive = seen.size * torch.sigmoid(-of_positive).mean()
        risk_negative = torch.sigmoid(of_all).mean() - seen.size * torch.sigmoid(of_positive).mean()
        loss = risk_positive + risk_negative if risk_negative >= 0 else -risk_negative
        loss = loss + PENALTY / len(features) * weights.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return _projected(seen.projection, weights.detach().double().numpy(), float(bias.detach()))


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


def gaussian_mixture(seen: SeenTexts, seed: int) -> Reader:
    """A text's membership as the overlap of its clusters with the claims m: sum_i r_ik m_i / sum_i
    r_ik, of diagonal Gaussians.

    Clusters are fitted on all seen passages, without claims. The overlap on two thirds of the
    documents predicts the claims on the last third. The best correlation over documents decides the
    numbers of clusters and of leading components.

    Raises:
        BasinError: fewer than three documents.
    """
    folds = document_folds(seen.document_of, 3, seed)
    most = max(2, len(seen.claims) // 8)
    fitted = []
    for dims, count in product(LEADING, sorted({min(most, wanted) for wanted in GAUSSIANS})):
        model = GaussianMixture(count, covariance_type="diag", reg_covar=1e-2, random_state=seed)
        features = seen.features[:, :dims]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            shares = model.fit(features).predict_proba(features)
        fitted.append((_agreement(shares, seen, folds), dims, model, _overlap(shares, seen.claims)))
    _, dims, model, overlap = max(fitted, key=lambda each: each[0])

    def read(
        activations: Float[np.ndarray, "text layer width"], pointer: Float[np.ndarray, "text"]
    ) -> Float[np.ndarray, "text"]:
        return log_odds(model.predict_proba(seen.projection.apply(activations)[:, :dims]) @ overlap)

    return read


def _agreement(
    shares: Float[np.ndarray, "passage cluster"], seen: SeenTexts, folds: Int[np.ndarray, "passage"]
) -> float:
    """Correlation over documents of claims and cross-fitted predictions; -1 if constant."""
    predicted = np.empty(len(shares))
    for fold in np.unique(folds):
        rest = folds != fold
        predicted[~rest] = shares[~rest] @ _overlap(shares[rest], seen.claims[rest])
    predictions, claims = (document_means(each, seen.document_of) for each in (predicted, seen.claims))
    return correlation(predictions, claims) if np.ptp(predictions) > 1e-9 else -1.0


def _overlap(
    shares: Float[np.ndarray, "passage cluster"], claims: Float[np.ndarray, "passage"]
) -> Float[np.ndarray, "cluster"]:
    """Mean claim of each cluster; the mean of all for an empty one."""
    total = shares.T @ claims + 1e-12 * claims.mean()
    return np.asarray(total / (shares.sum(axis=0) + 1e-12))


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
    "topic": topic,
    "topic-classifier": weak_to_strong,
    "topic-nnpu": positive_unlabelled,
    "topic-label-spreading": label_spreading,
    "topic-gaussian-mixture": gaussian_mixture,
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
