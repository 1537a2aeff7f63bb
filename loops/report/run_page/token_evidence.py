"""Read passages token by token with the language model: each token's evidence for the concept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from agent.errors import BasinError
from agent.hub.models import EMBEDDED, model_status
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.store import RunStore
from loops.report.run_page.material import Material
from loops.report.run_page.passages import disagreements, limit_per_document
from loops.report.run_page.stored import PassageReading, TokenReadings

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel

OF_A_KIND = 5


def load_reader(store: RunStore) -> LanguageModel:
    """The run's language model, if it is available without a network.

    Raises:
        BasinError: the model is not in the cache or not the one that the run was made with, or as
            `LanguageModel.load`.
    """
    from agent.language_model.model import LanguageModel

    name = store.config.language_model.name
    if name in EMBEDDED and model_status(name) != "cached":
        raise BasinError(
            f"The language model {name} is not in the cache; `basin doctor` says how to fetch it."
        )
    found = LanguageModel.load(store.config.language_model)
    refuse_other_model(store, [], found)
    return found


def read_tokens(material: Material, language_model: LanguageModel) -> TokenReadings | None:
    """A few passages of every kind, read token by token.

    The readout is linear in the mean over tokens, so the tokens' evidence averages to the passage's.
    None if the newest round has no readout, or the readout of another model.
    """
    readout = material.newest.concept.readout
    if readout is None or readout.weights.shape != (len(language_model.layers), language_model.width):
        return None
    chosen = list(_choose(material))
    read: list[PassageReading | None] = [None] * len(chosen)
    for found in language_model.token_states([text for _, _, text in chosen]):
        kind, title, text = chosen[found.text]
        nats = np.round(readout.evidence(found.states) - readout.threshold, 2).tolist()
        read[found.text] = PassageReading(kind, title, text, found.ends.tolist(), nats)
    passages = [each for each in read if each is not None]
    return TokenReadings(material.newest.round, passages)


def _choose(material: Material) -> Iterator[tuple[str, str, str]]:
    """Kind, title and text of the passages to read."""
    passages, newest = material.passages, material.newest
    members = limit_per_document(passages.document_of, newest.concept.members().tolist(), OF_A_KIND, 1)
    for kind, chosen in {"member": members, **disagreements(material)}.items():
        for at in chosen[:OF_A_KIND]:
            document = passages.documents[passages.passages[at].document]
            if passages.passages[at].text.strip():
                yield kind, document.title or document.id, passages.passages[at].text
    for kind, count in (("steered", OF_A_KIND), ("base", 2)):
        readable = [each for each in newest.generated if each.kind == kind and each.coherent is not False]
        for each in sorted(readable, key=lambda each: -each.membership)[:count]:
            if each.whole.strip():
                yield kind, f"membership {each.membership:.2f}", each.whole
