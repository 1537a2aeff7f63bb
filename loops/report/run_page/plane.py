"""A fixed plane for the map of texts: the readout's axis, and the largest principal axis beside it.

The plane serves the eye only; nothing depends on it. A fuzzy set appears as an ellipse (its weighted
normal distribution) and as a boundary, where membership in the plane is one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression

from agent.concept import Readout

if TYPE_CHECKING:
    from loops.report.run_page.material import Material

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


@dataclass(frozen=True)
class PlacedPlane:
    """A plane, and the real passages' coordinates in it."""

    round: int | None
    """The round whose readout is the first axis; None if both axes are principal."""
    plane: Plane
    places: Float[np.ndarray, "passage 2"]


def material_plane(material: Material) -> PlacedPlane | None:
    """The plane of the activations, fitted if they are available and else as stored."""
    if material.activations is None:
        return material.plane
    readout = material.newest.concept.readout
    plane = fit_plane(material.activations, readout)
    number = None if readout is None else material.newest.round
    return PlacedPlane(number, plane, plane.place(material.activations))


def map_data(material: Material, placed: PlacedPlane) -> dict[str, Any]:
    """Points, the topic's ellipse, and for every round the concept's ellipse and boundary."""
    real = placed.places
    about, titles = _describe(placed.round)
    return {
        "about": about,
        "titles": titles,
        "real": np.round(real, 2),
        "topic": _ellipse(real, material.first.concept.membership),
        "rounds": [
            {
                "ellipse": _ellipse(real, record.concept.membership),
                "boundary": boundary(real, record.concept.membership),
                "written": None
                if record.activations is None
                else np.round(placed.plane.place(record.activations), 2),
            }
            for record in material.records
        ],
    }


def _describe(number: int | None) -> tuple[str, list[str]]:
    """A paragraph on the plane, and the titles of its axes."""
    about = "Mean activations of whole passages"
    if number is None:
        about += " on the two largest principal axes of the real passages."
        return about, ["first principal axis (SD)", "second principal axis (SD)"]
    about += (
        f". The horizontal axis is the evidence for the concept of round {number}, in nats above its "
        "threshold. The vertical axis is the largest principal axis orthogonal to it, after "
        "standardising, in standard deviations of the real passages. The readout was fitted on these "
        "passages, so they lie slightly further apart than unseen text."
    )
    return about, [f"evidence for the concept, round {number} (nats)", "largest orthogonal axis (SD)"]


def _ellipse(
    points: Float[np.ndarray, "text 2"], weights: Float[np.ndarray, "text"]
) -> dict[str, Any] | None:
    found = normal_ellipse(points, weights)
    return found and {"mean": np.round(found[0], 3), "factor": np.round(found[1], 4)}


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
