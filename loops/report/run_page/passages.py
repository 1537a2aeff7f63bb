"""Passages and what was written as a page takes them: texts once, numbers round by round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.concept import MEMBER
from agent.corpora.words import language
from agent.pointer.lda import Pointer
from loops.report.run_page.material import Material
from loops.report.run_page.places import Written

Carried = list[tuple[int, int, float]]
"""First character, end, and p(topic | word, text) of the words that the topic model knows."""


def carried(pointer: Pointer, texts: Sequence[str], least: float = 0.2) -> list[Carried]:
    """The words of every text that are as likely as `least` from the topic, in order.

    A word's responsibility is theta_k phi_kw / sum_j theta_j phi_jw: the topic's weight in the text times the word's in the
    topic, against all topics. It is 0 for words that the model does not know.
    """
    model, topic = pointer.model, pointer.topic
    numbers = {word: number for number, word in enumerate(model.vocabulary)}
    topic_word = model.topic_word
    found = []
    for text, weights in zip(texts, model.infer(texts), strict=True):
        spans: Carried = []
        for begin, end, word in language(model.language).spans(text):
            if word not in numbers:
                continue
            joint = weights * topic_word[:, numbers[word]]
            share = float(joint[topic] / np.maximum(joint.sum(), 1e-300))
            if share >= least:
                spans.append((begin, end, share))
        found.append(spans)
    return found


WHOLE_TEXTS = 2_000_000
"""Characters of a corpus that is put into the page whole; of a larger one only what is talked about is."""
FIRST_WORDS = 50
DISAGREEMENTS = 12
"""Passages shown on each side."""
LISTED = 60
"""Passages of a list that are put into the page whole."""


def thousandths(shares: Float[np.ndarray, "text"]) -> Int[np.ndarray, "text"]:
    """Shares as whole thousandths that are on the same side of one half as they were."""
    rounded = np.round(shares * 1000)
    return np.where(shares >= MEMBER, np.maximum(rounded, 500), np.minimum(rounded, 499)).astype(int)


def disagreements(material: Material) -> dict[str, list[int]]:
    """Passages that the topic claims and the newest concept refuses most, and the other way round."""
    concept, topic = material.newest.concept, material.first.concept.membership
    change = np.round(np.abs(concept.membership - topic), 2)
    sides = {
        "refused": (material.claimed & ~concept.inside, material.topic_weights),
        "taken": (concept.inside & ~material.claimed, concept.single),
    }
    found = {}
    for name, (
        side,
        own,
    ) in sides.items():  # passages of a document changed alike: first those that show best why
        chosen = np.flatnonzero(side)
        ranked = chosen[np.lexsort((-own[chosen], -change[chosen]))]
        found[name] = _of_different_documents(material, ranked.tolist(), DISAGREEMENTS)
    return found


def passages_data(material: Material, whole: Iterable[int]) -> dict[str, Any]:
    """Real passages: texts, titles, the topic's weight, and the membership of every round."""
    texts, documents = material.passages.texts, material.passages.documents
    everything = sum(map(len, texts)) <= WHOLE_TEXTS
    kept_whole = set(range(len(texts)) if everything else whole)
    return {
        "texts": [text if at in kept_whole else _first_words(text) for at, text in enumerate(texts)],
        "cut": [] if everything else [at for at in range(len(texts)) if at not in kept_whole],
        "document": material.passages.document_of,
        "position": [passage.position for passage in material.passages.passages],
        "documents": [[document.title or document.id, document.author] for document in documents],
        "topic": thousandths(material.topic_weights),
        "membership": [thousandths(record.concept.membership) for record in material.records],
    }


def exchange_data(material: Material) -> list[dict[str, list[int]] | None]:
    """Numbers of the passages that entered and left in every round."""
    place = {passage.id: at for at, passage in enumerate(material.passages.passages)}
    return [
        each
        and {name: [place[id] for id in getattr(each, name) if id in place] for name in ("entered", "left")}
        for each in material.exchanges
    ]


def talked_about(material: Material) -> set[int]:
    """Passages whose whole text the page shows: members, disagreements, and what changed hands."""
    found = set(material.newest.concept.members()[:LISTED].tolist())
    for side in disagreements(material).values():
        found |= set(side)
    for each in exchange_data(material):
        for moved in (each or {}).values():
            found |= set(moved[:LISTED])
    return found


def opinion_data(material: Material, chosen: list[int]) -> dict[str, list[list[float]]]:
    """By passage, the words that carried the topic's opinion: first character, end, and the share."""
    texts = [material.passages.texts[at] for at in chosen]
    found = carried(material.pointer, texts) if texts else []
    return {
        str(at): [[begin, end, round(share, 2)] for begin, end, share in spans]
        for at, spans in zip(chosen, found, strict=True)
    }


def written_data(material: Material, written: Written) -> dict[str, Any]:
    """Every different text once, and what each round makes of those that it has."""
    seeds = {}
    for record in material.records:
        for number, each in zip(written.of(record), record.generated, strict=True):
            seeds[number] = each.seed
    rounds = [
        [
            [number, share, each.coherent, None if each.loss is None else round(each.loss, 2)]
            for number, each, share in zip(
                written.of(record),
                record.generated,
                thousandths(np.array([each.membership for each in record.generated])).tolist(),
                strict=True,
            )
        ]
        for record in material.records
    ]
    texts = [[kind, prompt, text, seeds[number]] for (kind, prompt, text), number in written.numbers.items()]
    return {"texts": texts, "rounds": rounds}


def _of_different_documents(material: Material, ranked: list[int], count: int) -> list[int]:
    """The first of them, at most two of a document, so that one book does not fill the list."""
    turns: dict[int, list[int]] = {}
    for at in ranked:
        turns.setdefault(material.passages.passages[at].document, []).append(at)
    once, twice = ([each[turn] for each in turns.values() if len(each) > turn] for turn in (0, 1))
    return [*once, *twice][:count]


def _first_words(text: str) -> str:
    return " ".join(text.split()[:FIRST_WORDS])
