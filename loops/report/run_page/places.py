"""Coordinates of texts in the planes of the map, with ellipses and boundaries round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from agent.concept import Readout
from agent.membership.log_odds import log_odds
from loops.report.run_page.material import Material
from loops.report.run_page.passages import Written
from loops.report.run_page.plane import boundary, fit_plane, normal_ellipse
from loops.report.run_page.stored import PlacedPlane

LARGEST_LOG_ODDS = 12.0
"""Log-odds are clipped here, so that extremes do not set the scale."""


@dataclass(frozen=True)
class Picture:
    """One plane with all texts in it."""

    id: str
    name: str
    about: str
    x_title: str
    y_title: str
    real: Float[np.ndarray, "passage 2"]
    written: Sequence[Float[np.ndarray, "text 2"] | None]
    """Each round's generated texts, in order; None if their activations were not stored."""


def material_plane(material: Material) -> PlacedPlane | None:
    """The plane of the activations, fitted if they are available and else as stored."""
    if material.activations is None:
        return material.plane
    plane = fit_plane(material.activations, material.newest.concept.readout)
    return PlacedPlane(plane, plane.place(material.activations))


def pictures(material: Material, placed: PlacedPlane | None, written: Written) -> list[Picture]:
    """The plane of the activations if it is known, and log-odds of topic and concept if there is one."""
    found = [] if placed is None else [_activation_picture(material, placed)]
    readout = material.newest.concept.readout
    return found if readout is None else [*found, _log_odds_picture(material, readout, written)]


def as_data(picture: Picture, material: Material) -> dict[str, Any]:
    """A picture as page data: points, and for every round the concept's ellipse and boundary."""
    rounds = [
        {
            "ellipse": _ellipse(picture.real, record.concept.membership),
            "boundary": boundary(picture.real, record.concept.membership),
            "written": None if places is None else np.round(places, 2),
        }
        for record, places in zip(material.records, picture.written, strict=True)
    ]
    return {
        "id": picture.id,
        "name": picture.name,
        "about": picture.about,
        "titles": [picture.x_title, picture.y_title],
        "real": np.round(picture.real, 2),
        "topic": _ellipse(picture.real, material.first.concept.membership),
        "rounds": rounds,
    }


def _activation_picture(material: Material, placed: PlacedPlane) -> Picture:
    newest = material.newest
    written = [
        None if record.activations is None else placed.plane.place(record.activations)
        for record in material.records
    ]
    if newest.concept.readout is None:
        about = (
            "Mean activations of whole passages on the two largest principal axes of the real passages. "
            "No round has a concept of its own yet."
        )
        titles = "first principal axis (standard deviations)", "second principal axis (standard deviations)"
    else:
        about = (
            f"Mean activations of whole passages. The horizontal axis is the evidence for the concept of "
            f"round {newest.round}, in nats above its threshold. The vertical axis is the largest principal "
            "axis orthogonal to it, after standardising, in standard deviations of the real passages. The "
            "readout was fitted on these passages, so they lie slightly further apart than unseen text."
        )
        titles = f"evidence for the concept, round {newest.round} (nats)", "largest orthogonal axis (SD)"
    return Picture("activations", "Activations", about, *titles, placed.places, written)


def _log_odds_picture(material: Material, readout: Readout, written: Written) -> Picture:
    newest = material.newest
    real = np.stack([log_odds(material.topic_weights), newest.concept.single], axis=1)
    places: list[np.ndarray | None] = []
    for record in material.records:
        if record.activations is None:
            places.append(None)
            continue
        of_topic = written.topic_log_odds[written.of(record)]
        of_concept = readout.log_odds(record.activations, of_topic)
        places.append(_clip(np.stack([of_topic, of_concept], axis=1)))
    about = (
        "Log-odds of every passage read alone. The horizontal axis is the topic. The vertical axis is the "
        f"concept of round {newest.round}, by classifiers that did not see the passage's document. Top "
        "left: missed by the topic. Bottom right: claimed by the topic and refused by the concept. "
        "Membership also uses the document's other passages, so a few points lie on the other side."
    )
    titles = "log-odds of the topic (nats)", f"log-odds of the concept, round {newest.round} (nats)"
    return Picture("log_odds", "Topic vs concept", about, *titles, _clip(real), places)


def _clip(points: Float[np.ndarray, "text 2"]) -> Float[np.ndarray, "text 2"]:
    return points.clip(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def _ellipse(
    points: Float[np.ndarray, "text 2"], weights: Float[np.ndarray, "text"]
) -> dict[str, Any] | None:
    found = normal_ellipse(points, weights)
    return found and {"mean": np.round(found[0], 3), "factor": np.round(found[1], 4)}
