"""Real and generated passages as page data: every text once, numbers round by round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.basin.tracking import exchanged
from agent.concept import MEMBER
from agent.corpora.words import language
from agent.pointer.topic_model import Pointer
from loops.records import RoundRecord
from loops.report.run_page.material import Material

Spans = list[tuple[int, int, float]]
"""First character, end, and p(topic | word, text) of words that the topic model knows."""

WHOLE_TEXTS = 2_000_000
"""Characters of a corpus that the page holds whole; of a larger one it cuts most passages."""
FIRST_WORDS = 50
DISAGREEMENTS = 12
"""Passages shown on each side."""
LISTED = 60
"""Passages of a list that the page holds whole."""


@dataclass(frozen=True)
class Written:
    """The generated passages of all rounds, every different text once."""

    material: Material

    @cached_property
    def numbers(self) -> dict[tuple[str, str, str], int]:
        """(kind, prompt, text) to a number, in order of appearance."""
        every = (each for record in self.material.records for each in record.generated)
        keys = dict.fromkeys((each.kind, each.prompt, each.text) for each in every)
        return {key: number for number, key in enumerate(keys)}

    def of(self, record: RoundRecord) -> list[int]:
        """Numbers of a round's texts."""
        return [self.numbers[each.kind, each.prompt, each.text] for each in record.generated]


def responsible_words(pointer: Pointer, texts: Sequence[str], least: float = 0.2) -> list[Spans]:
    """The words of every text whose responsibility is at least `least`, in order.

    The responsibility of topic k for word w is theta_k phi_kw / sum_j theta_j phi_jw, for topic
    weights theta of the text and word probabilities phi. Unknown words have none.
    """
    model, topic = pointer.model, pointer.topic
    numbers = {word: number for number, word in enumerate(model.vocabulary)}
    found = []
    for text, weights in zip(texts, model.infer(texts), strict=True):
        spans: Spans = []
        for begin, end, word in language(model.language).spans(text):
            if word not in numbers:
                continue
            joint = weights * model.topic_word[:, numbers[word]]
            share = float(joint[topic] / np.maximum(joint.sum(), 1e-300))
            if share >= least:
                spans.append((begin, end, share))
        found.append(spans)
    return found


def thousandths(shares: Float[np.ndarray, "text"]) -> Int[np.ndarray, "text"]:
    """Shares in whole thousandths, each on the same side of one half as before."""
    rounded = np.round(shares * 1000)
    return np.where(shares >= MEMBER, np.maximum(rounded, 500), np.minimum(rounded, 499)).astype(int)


def disagreements(material: Material) -> dict[str, list[int]]:
    """The passages with the largest change that the concept refuses, and those that it takes in."""
    concept, topic = material.newest.concept, material.first.concept.membership
    change = np.round(np.abs(concept.membership - topic), 2)
    sides = {
        "refused": (material.claimed & ~concept.inside, material.topic_weights),
        "taken": (concept.inside & ~material.claimed, concept.single),
    }
    found = {}
    for name, (side, own) in sides.items():
        chosen = np.flatnonzero(side)
        ranked = chosen[np.lexsort((-own[chosen], -change[chosen]))]  # a document's passages change alike
        found[name] = _limit_per_document(material, ranked.tolist(), DISAGREEMENTS)
    return found


def _limit_per_document(material: Material, ranked: list[int], count: int) -> list[int]:
    """The first `count`, at most two of a document."""
    turns: dict[int, list[int]] = {}
    for at in ranked:
        turns.setdefault(material.passages.passages[at].document, []).append(at)
    once, twice = ([each[turn] for each in turns.values() if len(each) > turn] for turn in (0, 1))
    return [*once, *twice][:count]


def passages_data(material: Material, whole: Iterable[int]) -> dict[str, Any]:
    """Real passages: texts, titles, the topic's weight, and the membership of every round."""
    texts, documents = material.passages.texts, material.passages.documents
    everything = sum(map(len, texts)) <= WHOLE_TEXTS
    uncut = set(range(len(texts)) if everything else whole)
    return {
        "texts": [
            text if at in uncut else " ".join(text.split()[:FIRST_WORDS]) for at, text in enumerate(texts)
        ],
        "cut": [at for at in range(len(texts)) if at not in uncut],
        "document": material.passages.document_of,
        "position": [passage.position for passage in material.passages.passages],
        "documents": [[document.title or document.id, document.author] for document in documents],
        "topic": thousandths(material.topic_weights),
        "membership": [thousandths(record.concept.membership) for record in material.records],
    }


def exchange_data(material: Material) -> list[dict[str, list[int]] | None]:
    """Passages that entered and left since the round before, by falling change; None for round 0."""
    memberships = [record.concept.membership for record in material.records]
    found: list[dict[str, list[int]] | None] = [None]
    for before, now in pairwise(memberships):
        moved = exchanged(memberships[0], before, now)
        found.append({"entered": moved.entered, "left": moved.left})
    return found


def shown_whole(material: Material) -> set[int]:
    """Passages whose whole text the page shows: members, disagreements and exchanged ones."""
    found = set(material.newest.concept.members()[:LISTED].tolist())
    found |= {at for side in disagreements(material).values() for at in side}
    for each in exchange_data(material):
        for moved in (each or {}).values():
            found |= set(moved[:LISTED])
    return found


def responsibility_data(material: Material, chosen: list[int]) -> dict[str, list[list[float]]]:
    """By passage, its responsible words: first character, end, and responsibility."""
    texts = [material.passages.texts[at] for at in chosen]
    found = responsible_words(material.pointer, texts) if texts else []
    return {
        str(at): [[begin, end, round(share, 2)] for begin, end, share in spans]
        for at, spans in zip(chosen, found, strict=True)
    }


def written_data(material: Material, written: Written) -> dict[str, Any]:
    """Every different text once; per round number, membership, coherence and loss of its texts."""
    seeds: dict[int, int] = {}
    rounds = []
    for record in material.records:
        numbers = written.of(record)
        shares = thousandths(np.array([each.membership for each in record.generated])).tolist()
        seeds |= dict(zip(numbers, (each.seed for each in record.generated), strict=True))
        rounds.append(
            [
                [number, share, each.coherent, None if each.loss is None else round(each.loss, 2)]
                for number, each, share in zip(numbers, record.generated, shares, strict=True)
            ]
        )
    texts = [[kind, prompt, text, seeds[number]] for (kind, prompt, text), number in written.numbers.items()]
    return {"texts": texts, "rounds": rounds}
