"""Rival methods that refine a pointer with activations; none of them is tuned with gold labels.

A rival is a function from seen texts to a reader of unseen ones. All get the same activations, the
same pointer and the same claim.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import HDBSCAN
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KNeighborsRegressor
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from agent.membership.documents import document_folds, document_mean, document_means
from agent.membership.log_odds import calibration_slope, log_odds
from agent.membership.projection import Projection
from agent.membership.similarity import correlation

COMPONENTS = 150


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


Reader = Callable[
    [Float[np.ndarray, "text layer width"], Float[np.ndarray, "text"]], Float[np.ndarray, "text"]
]
"""Activations and pointer log-odds of unseen texts to log-odds of belonging, each text alone."""
Rival = Callable[[SeenTexts, int], Reader]
Linear = Callable[[Tensor], Tensor]


LEADING = (8, 16, 32)
"""Numbers of leading components to choose from; in more dimensions every text is an outlier."""

Clusters = Callable[[Float[np.ndarray, "text feature"]], Float[np.ndarray, "text cluster"]]
"""Leading components of texts to their shares in each cluster (r_ik), each text alone."""
Clustering = Callable[[Float[np.ndarray, "passage feature"]], Clusters]
"""Finds clusters in the leading components of the seen passages."""


def gaussian_mixture(seen: SeenTexts, seed: int) -> Reader:
    """Diagonal Gaussians; number and dimensions are chosen on held-out claims (`by_overlap`)."""
    model = partial(GaussianMixture, covariance_type="diag", reg_covar=1e-2, random_state=seed)
    counts = sorted({_parts(seen, wanted) for wanted in (8, 16, 32)})
    grid = ((dims, partial(_mixture, model(count))) for dims, count in product(LEADING, counts))
    return by_overlap(seen, seed, grid)


def bayesian_mixture(seen: SeenTexts, seed: int) -> Reader:
    """A Dirichlet process over Gaussians; dimensions and covariance are chosen on held-out claims."""
    model = partial(BayesianGaussianMixture, n_components=_parts(seen, 16), max_iter=300, random_state=seed)
    kinds = {"full": 0.1, "diag": 1e-2}
    grid = (
        (dims, partial(_mixture, model(covariance_type=kind, reg_covar=kinds[kind])))
        for dims, kind in product(LEADING, kinds)
    )
    return by_overlap(seen, seed, grid)


def hdbscan(seen: SeenTexts, seed: int) -> Reader:
    """HDBSCAN; dimensions and smallest cluster size are chosen on held-out claims (`by_overlap`)."""
    largest = max(2, len(seen.claims) // 10)
    sizes = sorted({min(size, largest) for size in (5, 10, 20, 40)})
    grid = ((dims, partial(_density_clusters, size)) for dims, size in product((5, 10, 20), sizes))
    return by_overlap(seen, seed, grid)


def by_overlap(seen: SeenTexts, seed: int, grid: Iterable[tuple[int, Clustering]]) -> Reader:
    """A text's membership as the overlap of its clusters with the claims m: sum_i r_ik m_i / sum_i
    r_ik.

    Clusters are fitted on all seen passages, without claims. The overlap on two thirds of the
    documents predicts the claims on the last third. The best correlation over documents decides
    among the grid.

    Args:
        grid: numbers of leading components, each with a clustering of them.

    Raises:
        BasinError: fewer than three documents.
    """
    folds = document_folds(seen.document_of, 3, seed)
    fitted = []
    for dims, clustering in grid:
        features = seen.features[:, :dims]
        clusters = clustering(features)
        shares = clusters(features)
        score = _agreement(shares, seen, folds)
        fitted.append((score, dims, clusters, _overlap(shares, seen.claims)))
    _, dims, clusters, overlap = max(fitted, key=lambda each: each[0])
    projection = seen.projection
    return lambda activations, pointer: log_odds(clusters(projection.apply(activations)[:, :dims]) @ overlap)


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


def _mixture(
    model: GaussianMixture | BayesianGaussianMixture, features: Float[np.ndarray, "passage feature"]
) -> Clusters:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters: Clusters = model.fit(features).predict_proba
    return clusters


def _density_clusters(smallest: int, features: Float[np.ndarray, "passage feature"]) -> Clusters:
    """Clusters, with noise as one; a text's shares are those of its fifteen nearest neighbours."""
    model = HDBSCAN(smallest, min_samples=min(5, len(features)), cluster_selection_method="leaf", copy=True)
    found = model.fit_predict(features) + 1
    near = KNeighborsRegressor(min(15, len(features))).fit(features, np.eye(found.max() + 1)[found])
    clusters: Clusters = near.predict
    return clusters


def _parts(seen: SeenTexts, wanted: int) -> int:
    return min(wanted, max(2, len(seen.claims) // 8))


PENALTY = 1.0
"""Ridge penalty of the linear rivals in units of a feature's mean variance, as the refiner's."""


def topic(seen: SeenTexts, seed: int) -> Reader:
    """The topic itself."""
    return lambda activations, pointer: pointer


def weak_to_strong(seen: SeenTexts, seed: int) -> Reader:
    """A linear classifier trained once on the topic's claims."""
    return linear_reader(seen.projection, seen.activations, seen.claims)


def confident_weak_to_strong(seen: SeenTexts, seed: int, share: float = 0.75, steps: int = 300) -> Reader:
    """A linear classifier with the confidence loss of Burns et al. (2312.09390, eq. 1).

    Cross entropy to (1 - a) weak + a hardened labels. The hardening threshold keeps the weak
    labels' share of positives; a rises linearly to `share` over the first fifth of the steps.
    """
    claims = torch.tensor(seen.claims, dtype=torch.float32)

    def loss(step: int, read: Linear, features: Tensor) -> Tensor:
        logits = read(features)
        cut = torch.quantile(logits.detach(), 1 - seen.size)
        part = share * min(1.0, step / (steps / 5))
        target = (1 - part) * claims + part * (logits.detach() > cut).float()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, target)

    return _descended(seen, steps, loss)


def positive_unlabelled(seen: SeenTexts, seed: int, steps: int = 400) -> Reader:
    """Linear non-negative PU learning with sigmoid loss (Kiryo et al. 2017, 1703.00593, eq. 6).

    The topic's surest passages, as many as it claims, are the positives; the topic's size is the
    class prior.
    """
    surest = np.argsort(-seen.claims, kind="stable")[: max(2, round(seen.size * len(seen.claims)))]
    positive = torch.tensor(surest.copy())

    def loss(step: int, read: Linear, features: Tensor) -> Tensor:
        of_positive, of_all = read(features[positive]), read(features)
        risk_positive = seen.size * torch.sigmoid(-of_positive).mean()
        risk_negative = torch.sigmoid(of_all).mean() - seen.size * torch.sigmoid(of_positive).mean()
        return risk_positive + risk_negative if risk_negative >= 0 else -risk_negative

    return _descended(seen, steps, loss)


def _descended(seen: SeenTexts, steps: int, loss: Callable[[int, Linear, Tensor], Tensor]) -> Reader:
    """A linear reader by Adam on a loss of step, reader and features, with a ridge penalty."""
    features = torch.tensor(seen.features, dtype=torch.float32)
    weights, bias = torch.zeros(features.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=0.02)
    for step in range(steps):
        found = loss(step, lambda rows: rows @ weights + bias, features)
        penalised = found + PENALTY / len(features) * weights.square().sum()
        optimiser.zero_grad()
        penalised.backward()
        optimiser.step()
    return _projected(seen.projection, weights.detach().double().numpy(), float(bias.detach()))


def label_spreading(seen: SeenTexts, seed: int, neighbours: int = 15) -> Reader:
    """Zhou et al. (2004) on nearest neighbours, from the claimed top and the lower half."""
    projection = seen.projection
    features = _unit(seen.features)
    order = np.argsort(-seen.claims, kind="stable")
    labels = np.full(len(order), -1)
    labels[order[: max(2, round(seen.size * len(order)))]] = 1
    labels[order[len(order) // 2 :]] = 0
    model = LabelSpreading(kernel="knn", n_neighbors=min(neighbours, len(order) - 1), alpha=0.5, max_iter=100)
    model.fit(features, labels)
    spread = KNeighborsRegressor(min(neighbours, len(order)), weights="distance").fit(
        features, model.label_distributions_[:, 1]
    )
    return lambda activations, pointer: log_odds(spread.predict(_unit(projection.apply(activations))))


def self_training(seen: SeenTexts, seed: int, rounds: int = 4, folds: int = 6) -> Reader:
    """The prototype: logistic self-training on the document-pooled top, plus the topic's log-odds."""
    projection, features = seen.projection, seen.features
    claimed = max(2, round(seen.size * len(features)))
    fold = np.random.default_rng(seed).integers(folds, size=int(seen.document_of.max()) + 1)[seen.document_of]
    pooled = seen.claims
    for _ in range(rounds):
        labels = np.zeros(len(features), dtype=int)
        labels[np.argsort(-pooled, kind="stable")[:claimed]] = 1
        evidence = np.zeros(len(features))
        for number in np.unique(fold):
            rest = fold != number
            if len(np.unique(labels[rest])) == 2:
                evidence[~rest] = (
                    _logistic().fit(features[rest], labels[rest]).decision_function(features[~rest])
                )
        pooled = document_mean(evidence + seen.pointer_log_odds, seen.document_of)
    model = _logistic().fit(features, labels)
    return lambda activations, pointer: model.decision_function(projection.apply(activations)) + pointer


RIVALS: dict[str, Rival] = {
    "topic": topic,
    "topic-classifier": weak_to_strong,
    "topic-classifier-confident": confident_weak_to_strong,
    "topic-nnpu": positive_unlabelled,
    "topic-label-spreading": label_spreading,
    "topic-gaussian-mixture": gaussian_mixture,
    "topic-bayesian-mixture": bayesian_mixture,
    "topic-hdbscan": hdbscan,
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
    centred = features - features.mean(axis=0)
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += PENALTY * len(features)
    weights = np.linalg.solve(gram, centred.T @ (labels - labels.mean()))
    weights *= calibration_slope(centred @ weights, labels) or 1.0
    return _projected(projection, weights, -float(features.mean(axis=0) @ weights))


def _projected(projection: Projection, weights: Float[np.ndarray, "feature"], bias: float) -> Reader:
    return lambda activations, pointer: projection.apply(activations) @ weights + bias


def _logistic() -> LogisticRegression:
    return LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)


def _unit(features: Float[np.ndarray, "text feature"]) -> Float[np.ndarray, "text feature"]:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, 1e-12))
