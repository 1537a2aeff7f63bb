"""Where texts stand: two fixed planes, and in each the topic's ellipse and the concept's boundary, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from agent.concept import Readout
from agent.membership.log_odds import log_odds
from loops.records import RoundRecord
from loops.report.run_page.kept import KeptPlane
from loops.report.run_page.material import Material
from loops.report.run_page.plane import boundary, fit_plane, normal_ellipse

FAR = 12.0
"""Log-odds beyond this are drawn at this."""


@dataclass(frozen=True)
class Picture:
    """One plane with everything in it."""

    id: str
    name: str
    about: str
    x_title: str
    y_title: str
    real: Float[np.ndarray, "passage 2"]
    written: Sequence[Float[np.ndarray, "text 2"] | None]
    """A round's generated texts, in order; None where their activations were not kept."""


@dataclass(frozen=True)
class Written:
    """What was generated over all rounds, every different text once."""

    material: Material

    @cached_property
    def numbers(self) -> dict[tuple[str, str, str], int]:
        """(kind, prompt, text) to a number, in order of appearance: what the base model wrote stays the same."""
        keys = (
            (each.kind, each.prompt, each.text)
            for record in self.material.records
            for each in record.generated
        )
        return {key: number for number, key in enumerate(dict.fromkeys(keys))}

    def of(self, record: RoundRecord) -> list[int]:
        """Numbers of a round's texts."""
        return [self.numbers[each.kind, each.prompt, each.text] for each in record.generated]

    @cached_property
    def topic_log_odds(self) -> Float[np.ndarray, "text"]:
        """What the topic makes of every different text."""
        texts = [f"{prompt}{text}" for _, prompt, text in self.numbers]
        return log_odds(self.material.pointer.weights(texts)) if texts else np.zeros(0)


def kept_plane(material: Material) -> KeptPlane | None:
    """The plane of the activations, fitted where they are at hand; None where they are gone and nothing was kept."""
    if material.activations is None:
        return material.plane
    plane = fit_plane(material.activations, material.newest.concept.readout)
    return KeptPlane(plane, plane.place(material.activations))


def pictures(material: Material, kept: KeptPlane | None, written: Written) -> list[Picture]:
    """The plane of the activations, where these are known, then topic against concept, where there is a concept."""
    found = [] if kept is None else [_of_activations(material, kept)]
    readout = material.newest.concept.readout
    return found if readout is None else [*found, _of_opinions(material, readout, written)]


def as_data(picture: Picture, material: Material) -> dict[str, Any]:
    """A picture for the page: points, and of every round the concept's ellipse and boundary."""
    claim = material.first.concept.membership
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
        "topic": _ellipse(picture.real, claim),
        "rounds": rounds,
    }


def _of_activations(material: Material, kept: KeptPlane) -> Picture:
    newest = material.newest
    written = [
        None if record.activations is None else kept.plane.place(record.activations)
        for record in material.records
    ]
    other = (
        "up is the largest principal axis of the real passages that is orthogonal to it (activations standardised), in their "
        "standard deviations"
    )
    if newest.concept.readout is None:
        about = (
            "Mean activations of whole passages on the two largest principal axes of the real ones. No round has a concept of "
            "its own yet."
        )
        titles = ("first principal axis (deviations)", "second principal axis (deviations)")
    else:
        about = (
            f"Mean activations of whole passages. Right is what the concept of round {newest.round} reads in them, in nats: 0 "
            f"is its threshold for a text of which the topic thinks as of most. And {other}. That reading was fitted on these "
            "real passages, so they stand a little further apart than unseen text would."
        )
        titles = (
            f"evidence for the concept of round {newest.round} (nats)",
            "largest other axis (deviations)",
        )
    return Picture("activations", "Activations", about, *titles, kept.places, written)


def _of_opinions(material: Material, readout: Readout, written: Written) -> Picture:
    newest = material.newest
    topic = log_odds(material.topic_weights)
    real = np.stack([topic, newest.concept.single], axis=1)
    places: list[np.ndarray | None] = []
    for record in material.records:
        if record.activations is None:
            places.append(None)
            continue
        of_topic = written.topic_log_odds[written.of(record)]
        of_concept = readout.log_odds(record.activations, of_topic)
        places.append(np.stack([of_topic, of_concept], axis=1).clip(-FAR, FAR))
    about = (
        f"Two opinions of every passage read alone, as log-odds: right is the topic's, up is that of the concept of round "
        f"{newest.round}, by classifiers that did not see the passage's document. Top left is what the topic misses, bottom "
        "right what it wrongly claims, by the concept's lights. Membership hears a document's other passages too, so a few "
        "points lie on the other side."
    )
    titles = ("the topic's log-odds (nats)", f"log-odds by the concept of round {newest.round} (nats)")
    return Picture("opinions", "Topic against concept", about, *titles, real.clip(-FAR, FAR), places)


def _ellipse(
    points: Float[np.ndarray, "text 2"], weights: Float[np.ndarray, "text"]
) -> dict[str, Any] | None:
    found = normal_ellipse(points, weights)
    return found and {"mean": np.round(found[0], 3), "factor": np.round(found[1], 4)}
