"""Corresponding layers of two models, found by comparing every pair on unseen text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from agent.errors import BasinError
from agent.transfer.linear_maps import Affine
from agent.transfer.moments import Moments

KEPT = 0.99
"""Share of the variance that is compared; the rest counts as noise."""
MOST = 64
"""Directions compared at most: with nearly as many as tokens, any two layers correlate."""


def svcca(moments: Moments) -> float:
    """Mean canonical correlation of the leading directions; 0 where one side never varies."""
    standard = moments.standardised
    x, y = _whitening(standard.xx), _whitening(standard.yy)
    if not (x.shape[1] and y.shape[1]):
        return 0.0
    correlations = np.linalg.svd(x.T @ standard.xy @ y, compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean())


def _whitening(scatter: Float[np.ndarray, "width width"]) -> Float[np.ndarray, "width feature"]:
    """Columns that project on the leading directions at unit scatter."""
    values, axes = eigh(scatter)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    if not values.sum() > 0:
        return np.asarray(axes[:, :0])
    count = min(int(np.searchsorted(np.cumsum(values) / values.sum(), KEPT)) + 1, MOST)
    return np.asarray(axes[:, :count] / np.sqrt(values[:count]))


COMPONENTS = 128
"""Directions compared in every layer; variance beyond them counts as unexplained."""


@dataclass(frozen=True)
class LayerMatrix:
    """Similarity of every layer of one model (rows) with every layer of the other (columns)."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    unexplained: Float[np.ndarray, "layer other"]
    """Unexplained variance, on unseen text, of the second's layer by affine maps."""
    back: Float[np.ndarray, "layer other"]
    """The same the other way: of the first's layer, from the second's."""
    svcca: Float[np.ndarray, "layer other"]
    """Mean canonical correlation, on unseen text."""

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
    unseen: Bool[np.ndarray, "token"],
    first: Sequence[int],
    second: Sequence[int],
) -> LayerMatrix:
    """Compare all layers on pairs in memory, each layer by its leading principal components.

    Args:
        unseen: pairs of unseen text; both kinds are needed.

    Raises:
        BasinError: one of the two kinds of text has no pairs.
    """
    if unseen.all() or not unseen.any():
        raise BasinError("Layers are compared on unseen text: give general text of several documents.")
    xs, ys = ([_Components.of(each[:, at], unseen) for at in range(each.shape[1])] for each in (x, y))
    shape = (len(xs), len(ys))
    forward, back, alike = (np.empty(shape) for _ in range(3))
    # Hundreds of small problems, which many threads would slow down, by up to twenty times on busy cores.
    with threadpool_limits(limits=1, user_api="blas"):
        for (row, here), (column, there) in product(enumerate(xs), enumerate(ys)):
            parts = [Moments.of(here.scores[part], there.scores[part]) for part in (~unseen, unseen)]
            forward[row, column] = there.left_over(_unexplained(*parts))
            back[row, column] = here.left_over(_unexplained(*(part.swapped for part in parts)))
            alike[row, column] = svcca(parts[1])
    return LayerMatrix(tuple(first), tuple(second), forward, back, alike)


def _unexplained(seen: Moments, unseen: Moments) -> float:
    """Components are few beside the tokens, so the penalty is small."""
    return min(1.0, Affine().solve(seen, 1e-3).unexplained(unseen))


@dataclass(frozen=True)
class _Components:
    """One layer on the leading components of its seen, standardised activations."""

    scores: Float[np.ndarray, "token feature"]
    kept: float
    """Share of the unseen variance inside the components."""

    @classmethod
    def of(
        cls, activations: Float[np.ndarray, "token width"], unseen: Bool[np.ndarray, "token"]
    ) -> _Components:
        values = activations.astype(np.float32)
        mean, deviation = values[~unseen].mean(0), values[~unseen].std(0) + 1e-6
        values = (values - mean) / deviation
        scatter = (values[~unseen].T @ values[~unseen]).astype(np.float64)
        count = min(COMPONENTS, len(scatter))
        axes = eigh(scatter, subset_by_index=(len(scatter) - count, len(scatter) - 1))[1].astype(np.float32)
        scores = values @ axes
        return cls(scores, float(scores[unseen].var(0).sum() / max(values[unseen].var(0).sum(), 1e-12)))

    def left_over(self, unexplained: float) -> float:
        """Unexplained share of the whole layer's variance, from that of its components."""
        return 1 - self.kept * (1 - unexplained)
