"""Passages read token by token: what each token says for the concept. Needs the language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from agent.concept import Readout
from agent.errors import BasinError
from agent.hub.models import EMBEDDED, model_status
from loops.report.run_page.kept import ReadPassage, Tokens, readout_digest
from loops.report.run_page.material import Material
from loops.report.run_page.passages import disagreements

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel

OF_A_KIND = 5


def load_reader(material: Material) -> LanguageModel:
    """The run's language model, where it is at hand without a network.

    Raises:
        BasinError: it would have to be fetched first, or as `LanguageModel.load`.
    """
    from agent.language_model.model import LanguageModel

    name = material.config.language_model.name
    if name in EMBEDDED and model_status(name) != "cached":
        raise BasinError(
            f"The language model {name} is not in the cache; `basin doctor` says how to fetch it."
        )
    return LanguageModel.load(material.config.language_model)


def read_tokens(material: Material, language_model: LanguageModel) -> Tokens | None:
    """A few passages of every kind, token by token; None where the newest round has no readout, or another model's."""
    readout = material.newest.concept.readout
    if readout is None or readout.weights.shape != (len(language_model.layers), language_model.width):
        return None
    chosen = list(_chosen(material))
    read: list[ReadPassage | None] = [None] * len(chosen)
    for found in language_model.token_states([text for _, _, text in chosen]):
        kind, title, text = chosen[found.text]
        ends, nats = _merged(found.ends.tolist(), _nats(found.states, readout))
        read[found.text] = ReadPassage(kind, title, text, ends, nats)
    passages = [each for each in read if each is not None]
    return Tokens(material.newest.round, readout_digest(readout), passages)


def _nats(states: Float[np.ndarray, "token layer width"], readout: Readout) -> list[float]:
    """A readout is linear and reads the tokens' mean, so each token has its own say, and their mean is the passage's."""
    return (readout.evidence(states) - readout.threshold).tolist()


def _merged(ends: Sequence[int], nats: Sequence[float]) -> tuple[list[int], list[float]]:
    """Tokens that end in one letter, which takes several of them, as one."""
    places: list[int] = []
    values: list[list[float]] = []
    for end, value in zip(ends, nats, strict=True):
        if places and end <= places[-1]:
            values[-1].append(value)
        else:
            places.append(end)
            values.append([value])
    return places, [round(float(np.mean(each)), 2) for each in values]


def _chosen(material: Material) -> Iterator[tuple[str, str, str]]:
    """Kind, title and text of the passages that are read."""
    passages, newest = material.passages, material.newest

    def real(kind: str, chosen: Sequence[int]) -> Iterator[tuple[str, str, str]]:
        for at in chosen:
            document = passages.documents[passages.passages[at].document]
            if passages.passages[at].text.strip():
                yield kind, document.title or document.id, passages.passages[at].text

    best: dict[int, int] = {}  # of a document, whose passages belong alike, the one that shows best why
    for at in newest.concept.members().tolist():
        document = passages.passages[at].document
        if document not in best or newest.concept.single[at] > newest.concept.single[best[document]]:
            best[document] = at
    members = list(best.values())
    sides = disagreements(material)
    yield from real("member", members[:OF_A_KIND])
    yield from real("refused", sides["refused"][:OF_A_KIND])
    yield from real("taken", sides["taken"][:OF_A_KIND])
    for kind, count in (("steered", OF_A_KIND), ("base", 2)):
        readable = [each for each in newest.generated if each.kind == kind and each.coherent is not False]
        for each in sorted(readable, key=lambda each: -each.membership)[:count]:
            if each.whole.strip():
                yield kind, f"membership {each.membership:.2f}", each.whole
