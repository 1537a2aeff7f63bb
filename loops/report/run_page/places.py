"""The map of a run: all texts in one plane, with ellipses and boundaries by round."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from loops.report.run_page.material import Material
from loops.report.run_page.plane import boundary, fit_plane, normal_ellipse
from loops.report.run_page.stored import PlacedPlane


def material_plane(material: Material) -> PlacedPlane | None:
    """The plane of the activations, fitted if they are available and else as stored."""
    if material.activations is None:
        return material.plane
    plane = fit_plane(material.activations, material.newest.concept.readout)
    return PlacedPlane(plane, plane.place(material.activations))


def map_data(material: Material, placed: PlacedPlane) -> dict[str, Any]:
    """Points, the topic's ellipse, and for every round the concept's ellipse and boundary."""
    real = placed.places
    about, titles = _describe(material)
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


def _describe(material: Material) -> tuple[str, list[str]]:
    """A paragraph on the plane, and the titles of its axes."""
    newest = material.newest
    if newest.concept.readout is None:
        about = (
            "Mean activations of whole passages on the two largest principal axes of the real passages. "
            "No round has a concept of its own yet."
        )
        return about, ["first principal axis (SD)", "second principal axis (SD)"]
    about = (
        "Mean activations of whole passages. The horizontal axis is the evidence for the concept of "
        f"round {newest.round}, in nats above its threshold. The vertical axis is the largest principal "
        "axis orthogonal to it, after standardising, in standard deviations of the real passages. The "
        "readout was fitted on these passages, so they lie slightly further apart than unseen text."
    )
    return about, [f"evidence for the concept, round {newest.round} (nats)", "largest orthogonal axis (SD)"]


def _ellipse(
    points: Float[np.ndarray, "text 2"], weights: Float[np.ndarray, "text"]
) -> dict[str, Any] | None:
    found = normal_ellipse(points, weights)
    return found and {"mean": np.round(found[0], 3), "factor": np.round(found[1], 4)}
