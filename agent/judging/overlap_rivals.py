"""Rivals that look for clusters first and ask afterwards how far each overlaps with what the topic claims."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import HDBSCAN
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KNeighborsRegressor

from agent.evidence import correlation, document_means, log_odds
from agent.judging.seen_texts import Reader, SeenTexts
from agent.passages import document_folds

LEADING = (8, 16, 32)
"""Numbers of components that a mixture chooses from: in more dimensions every text is an outlier."""

Clusters = Callable[[Float[np.ndarray, "text feature"]], Float[np.ndarray, "text cluster"]]
"""Leading components of texts to their shares in every cluster (r_ik), each text alone."""
Clustering = Callable[[Float[np.ndarray, "passage feature"]], Clusters]
"""Finds clusters in the leading components of the seen passages."""


def gaussian_mixture(seen: SeenTexts, seed: int) -> Reader:
    """Diagonal Gaussians; how many, and in how many dimensions, is chosen on held-out claims (`by_overlap`)."""
    model = partial(GaussianMixture, covariance_type="diag", reg_covar=1e-2, random_state=seed)
    counts = sorted({_parts(seen, wanted) for wanted in (8, 16, 32)})
    grid = ((dims, partial(_mixture, model(count))) for dims, count in product(LEADING, counts))
    return by_overlap(seen, seed, grid)


def bayesian_mixture(seen: SeenTexts, seed: int) -> Reader:
    """A Dirichlet process over Gaussians; dimensions and kind of covariance are chosen on held-out claims (`by_overlap`)."""
    model = partial(BayesianGaussianMixture, n_components=_parts(seen, 16), max_iter=300, random_state=seed)
    kinds = {"full": 0.1, "diag": 1e-2}
    grid = (
        (dims, partial(_mixture, model(covariance_type=kind, reg_covar=kinds[kind])))
        for dims, kind in product(LEADING, kinds)
    )
    return by_overlap(seen, seed, grid)


def hdbscan(seen: SeenTexts, seed: int) -> Reader:
    """HDBSCAN; dimensions and the size of the smallest cluster are chosen on held-out claims (`by_overlap`)."""
    largest = max(2, len(seen.claims) // 10)
    sizes = sorted({min(size, largest) for size in (5, 10, 20, 40)})
    grid = ((dims, partial(_density_clusters, size)) for dims, size in product((5, 10, 20), sizes))
    return by_overlap(seen, seed, grid)


def by_overlap(seen: SeenTexts, seed: int, grid: Iterable[tuple[int, Clustering]]) -> Reader:
    """Clusters that belong as far as the topic's claims m overlap with them, sum_i r_ik m_i / sum_i r_ik.

    Clusters are found on all seen passages, without claims. The overlap counted on two thirds of the documents predicts
    the claims on the last third, each third once; of the grid, what correlates best over documents is kept.

    Args:
        grid: numbers of leading components, each with what finds clusters in them.

    Raises:
        BasinError: fewer than three documents.
    """
    folds = document_folds(seen.document_of, 3, seed)
    best, chosen = -np.inf, None
    for dims, clustering in grid:
        features = seen.features[:, :dims]
        clusters = clustering(features)
        shares = clusters(features)
        score = _agreement(shares, seen, folds)
        if score > best:
            best, chosen = score, (dims, clusters, _overlap(shares, seen.claims))
    dims, clusters, overlap = chosen
    projection = seen.projection
    return lambda activations, pointer: log_odds(clusters(projection.apply(activations)[:, :dims]) @ overlap)


def _agreement(
    shares: Float[np.ndarray, "passage cluster"], seen: SeenTexts, folds: Int[np.ndarray, "passage"]
) -> float:
    """Correlation over documents of claims and what the overlap in other folds predicts; -1 if it predicts a constant."""
    predicted = np.empty(len(shares))
    for fold in np.unique(folds):
        rest = folds != fold
        predicted[~rest] = shares[~rest] @ _overlap(shares[rest], seen.claims[rest])
    predictions, claims = (document_means(each, seen.document_of) for each in (predicted, seen.claims))
    return correlation(predictions, claims) if np.ptp(predictions) > 1e-9 else -1.0


def _overlap(
    shares: Float[np.ndarray, "passage cluster"], claims: Float[np.ndarray, "passage"]
) -> Float[np.ndarray, "cluster"]:
    """Mean claim over every cluster; over an empty one, the mean of all."""
    return (shares.T @ claims + 1e-12 * claims.mean()) / (shares.sum(axis=0) + 1e-12)


def _mixture(
    model: GaussianMixture | BayesianGaussianMixture, features: Float[np.ndarray, "passage feature"]
) -> Clusters:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features).predict_proba


def _density_clusters(smallest: int, features: Float[np.ndarray, "passage feature"]) -> Clusters:
    """Clusters, noise as one of them; a text's shares are those among its fifteen nearest neighbours."""
    model = HDBSCAN(smallest, min_samples=min(5, len(features)), cluster_selection_method="leaf", copy=True)
    found = model.fit_predict(features) + 1
    near = KNeighborsRegressor(min(15, len(features))).fit(features, np.eye(found.max() + 1)[found])
    return near.predict


def _parts(seen: SeenTexts, wanted: int) -> int:
    return min(wanted, max(2, len(seen.claims) // 8))
