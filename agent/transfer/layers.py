"""Corresponding layers of two models, found by comparing every pair on the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA

from agent.errors import BasinError
from agent.transfer.linear_maps import standardised

KEPT = 0.99
"""Share of the variance that is compared; the rest counts as noise."""
MOST = 64
"""Directions compared at most: with nearly as many as tokens, any two layers correlate."""


@dataclass(frozen=True)
class LayerMatrix:
    """Similarity of every layer of one model (rows) with every layer of the other (columns)."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    svcca: Float[np.ndarray, "layer other"]
    """Mean canonical correlation of the leading directions."""

    def partner(self, layer: int) -> int:
        """The second's layer with the highest canonical correlation with a layer of the first.

        The fit in one direction would favour early layers, which any layer predicts; correlation is
        symmetric. Raises `BasinError` for a layer that was not compared.
        """
        if layer not in self.first:
            raise BasinError(f"Layer {layer} was not compared; compared were {list(self.first)}.")
        return self.second[int(self.svcca[self.first.index(layer)].argmax())]


def layer_matrix(
    x: Float[np.ndarray, "token layer source"],
    y: Float[np.ndarray, "token other target"],
    first: Sequence[int],
    second: Sequence[int],
) -> LayerMatrix:
    """Compare all layers by singular vector canonical correlation (Raghu et al. 2017)."""
    xs, ys = ([_leading(each[:, at]) for at in range(each.shape[1])] for each in (x, y))
    alike = np.array([[_correlation(here, there) for there in ys] for here in xs])
    return LayerMatrix(tuple(first), tuple(second), alike)


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
