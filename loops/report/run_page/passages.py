"""Real and generated passages as page data: every text once, numbers round by round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.basin.tracking import exchanged
from agent.concept import MEMBER
from agent.corpora.words import language
from agent.pointer.topic_model import Pointer
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
            if share >= least and (not spans or begin >= spans[-1][1]):  # pairs of characters overlap
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
        found[name] = limit_per_document(material.passages.document_of, ranked.tolist(), DISAGREEMENTS)
    return found


def limit_per_document(
    document_of: Int[np.ndarray, "passage"], ranked: Iterable[int], count: int
) -> list[int]:
    """The first `count` of the ranked passages, at most two of each document."""
    counts: Counter[int] = Counter()
    chosen = []
    for at in ranked:
        document = int(document_of[at])
        counts[document] += 1
        if counts[document] <= 2:
            chosen.append(at)
    return chosen[:count]


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


def written_data(material: Material) -> dict[str, Any]:
    """Every different text once; per round number, membership, coherence and loss of its texts."""
    numbers: dict[tuple[str, str, str], int] = {}
    texts: list[list[Any]] = []
    rounds = []
    for record in material.records:
        rows = []
        shares = thousandths(np.array([each.membership for each in record.generated])).tolist()
        for each, share in zip(record.generated, shares, strict=True):
            key = each.kind, each.prompt, each.text
            if key not in numbers:
                numbers[key] = len(texts)
                texts.append([*key, each.seed])
            loss = None if each.loss is None else round(each.loss, 2)
            rows.append([numbers[key], share, each.coherent, loss])
        rounds.append(rows)
    return {"texts": texts, "rounds": rounds}
