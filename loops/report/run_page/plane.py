"""A fixed plane for the map of texts: the readout's axis, and the largest principal axis beside it.

The plane serves the eye only; nothing depends on it. A fuzzy set appears as an ellipse (its weighted
normal distribution) and as a boundary, where membership in the plane is one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression

from agent.concept import Readout

MOST_FITTED = 4000
"""Of more texts, an evenly spaced sample determines the second axis."""


@dataclass(frozen=True)
class Plane:
    """Two affine functions of a text's activations."""

    axes: Float[np.ndarray, "2 layer width"]
    offsets: Float[np.ndarray, "2"]

    def place(self, activations: Float[np.ndarray, "text layer width"]) -> Float[np.ndarray, "text 2"]:
        """Coordinates of texts."""
        products = np.einsum("tlw,alw->ta", activations, self.axes.astype(np.float32))
        places: Float[np.ndarray, "text 2"] = products.astype(float) + self.offsets
        return places


def fit_plane(activations: Float[np.ndarray, "text layer width"], readout: Readout | None) -> Plane:
    """The readout's axis and the largest principal axis orthogonal to it.

    Without a readout both axes are principal. Activations are standardised first, since some
    coordinates of the stream are a hundred times larger than others. Units: nats above the threshold
    for the readout, standard deviations of the real texts for principal axes.
    """
    step = -(-len(activations) // MOST_FITTED)
    flat = np.asarray(activations[::step], dtype=np.float32).reshape(len(activations[::step]), -1)
    centre, deviation = flat.mean(axis=0), flat.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    standard = (flat - centre) / deviation
    axes, offsets = [], []
    if readout is not None:
        direction = readout.weights.reshape(-1) * deviation
        direction = (direction / max(float(np.linalg.norm(direction)), 1e-12)).astype(np.float32)
        standard = standard - np.outer(standard @ direction, direction)
        axes.append(readout.weights)
        offsets.append(readout.bias - readout.threshold)
    for axis in _principal(standard, 2 - len(axes)):
        spread = max(float((standard @ axis).std()), 1e-12)
        raw = axis / deviation / spread
        axes.append(raw.reshape(activations.shape[1:]))
        offsets.append(-float(centre @ raw))
    return Plane(np.stack(axes).astype(np.float64), np.array(offsets, dtype=np.float64))


def normal_ellipse(
    points: Float[np.ndarray, "text 2"], weights: Float[np.ndarray, "text"]
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 2"]] | None:
    """Mean and Cholesky factor of the weighted normal distribution.

    None if the weights are worth fewer than three texts.
    """
    total = float(weights.sum())
    if total <= 0 or total**2 / float((weights**2).sum()) < 3:
        return None
    mean = weights @ points / total
    centred = points - mean
    covariance = (weights[:, None] * centred).T @ centred / total
    return mean, np.linalg.cholesky(covariance + 1e-9 * (np.trace(covariance) + 1e-9) * np.eye(2))


def boundary(
    points: Float[np.ndarray, "text 2"], membership: Float[np.ndarray, "text"]
) -> tuple[float, float, float] | None:
    """(a, b, c) such that a x + b y + c is the log-odds of belonging, by logistic regression.

    None if all memberships or all points are equal.
    """
    deviation = points.std(axis=0)
    if membership.max() - membership.min() < 1e-9 or (deviation <= 0).all():
        return None
    deviation = np.where(deviation > 0, deviation, 1)
    mean = points.mean(axis=0)
    standard = (points - mean) / deviation
    fitted = LogisticRegression(C=10.0, solver="newton-cholesky").fit(
        np.concatenate([standard, standard]),  # every text is in part a member and in part not
        np.repeat([1, 0], len(points)),
        sample_weight=np.concatenate([membership, 1 - membership]),
    )
    slope = fitted.coef_[0] / deviation
    return float(slope[0]), float(slope[1]), float(fitted.intercept_[0] - slope @ mean)


def _principal(standard: Float[np.ndarray, "text column"], count: int) -> Float[np.ndarray, "count column"]:
    """Directions of largest variance, each with its largest coordinate positive."""
    axes = TruncatedSVD(count, n_iter=7, random_state=0).fit(standard).components_
    largest = np.abs(axes).argmax(axis=1)
    turned: Float[np.ndarray, "count column"] = axes * np.sign(axes[np.arange(count), largest])[:, None]
    return turned
