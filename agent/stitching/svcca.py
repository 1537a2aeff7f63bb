"""How alike two layers of two models are, whatever their coordinates: SVCCA (Raghu et al. 1706.05806)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from agent.stitching.moments import Moments

KEPT = 0.99
"""Share of the variance whose directions are compared; the rest is taken for noise."""
MOST = 64
"""Directions compared at most: with nearly as many as tokens, anything correlates with anything."""


def svcca(moments: Moments) -> float:
    """Mean canonical correlation of the leading directions of x and y, in [0, 1]; 0 where one of them never varies."""
    standard = moments.standardised
    x, y = _whitening(standard.xx), _whitening(standard.yy)
    if not (x.shape[1] and y.shape[1]):
        return 0.0
    correlations = np.linalg.svd(x.T @ standard.xy @ y, compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean())


def _whitening(scatter: Float[np.ndarray, "width width"]) -> Float[np.ndarray, "width feature"]:
    """Columns that map onto the leading directions at unit scatter."""
    values, axes = eigh(scatter)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    if not values.sum() > 0:
        return axes[:, :0]
    count = min(int(np.searchsorted(np.cumsum(values) / values.sum(), KEPT)) + 1, MOST)
    return axes[:, :count] / np.sqrt(values[:count])
