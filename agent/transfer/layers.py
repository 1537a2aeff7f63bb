"""Corresponding layers of two models, found by comparing every pair on the same text."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA

from agent.transfer.linear_maps import standardised

KEPT = 0.99
"""Share of the variance that is compared; the rest counts as noise."""
MOST = 64
"""Directions compared at most: with nearly as many as tokens, any two layers correlate."""


def layer_similarity(
    x: Float[np.ndarray, "token layer source"], y: Float[np.ndarray, "token other target"]
) -> Float[np.ndarray, "layer other"]:
    """Mean canonical correlation of the leading directions (SVCCA, Raghu et al. 2017).

    A layer's partner is the one with the highest. The fit of a map in one direction would favour
    early layers, which any layer predicts; correlation is symmetric.
    """
    xs, ys = ([_leading(each[:, at]) for at in range(each.shape[1])] for each in (x, y))
    return np.array([[_correlation(here, there) for there in ys] for here in xs])


def _leading(activations: Float[np.ndarray, "token width"]) -> Float[np.ndarray, "token feature"]:
    """Scores on the leading directions, at unit scatter; none where nothing varies."""
    standard = standardised(activations)
    if not standard.any():
        return standard[:, :0]
    fitted = PCA(min(MOST, *standard.shape), whiten=True, svd_solver="covariance_eigh")
    scores = fitted.fit_transform(standard)
    count = int(np.searchsorted(np.cumsum(fitted.explained_variance_ratio_), KEPT)) + 1
    return np.asarray(scores[:, :count] / np.sqrt(len(scores) - 1))


def _correlation(here: Float[np.ndarray, "token feature"], there: Float[np.ndarray, "token other"]) -> float:
    """Mean canonical correlation; 0 where one side never varies."""
    if not (here.shape[1] and there.shape[1]):
        return 0.0
    correlations = np.linalg.svd(here.T @ there, compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean())
