"""The summary at the head of a run's page: words, key numbers, and differences from the topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.basin.fixed_points import telling_words
from agent.corpora.words import ENGLISH, name_like_words, words_of
from agent.types import PassageSet
from loops.report.run_page.material import Material, metric

MOST_WORDS = 3000
FEWEST_DOCUMENTS = 3
"""A word must occur in this many documents of the set, so that no single book supplies it."""
TITLES = 3
TOPIC_WORDS = 40
"""The topic's most probable words that are checked for the concept's trust."""
FEWEST_PASSAGES = 8
"""Passages with a word needed to compare its share that stays inside."""


@dataclass(frozen=True)
class Lexicon:
    """The more frequent words of the passages, without names, and which passages contain them."""

    words: list[str]
    holds: Bool[np.ndarray, "passage word"]
    document_of: Int[np.ndarray, "passage"]

    @classmethod
    def of(cls, passages: PassageSet, language: str = ENGLISH) -> Lexicon:
        """Words of at least `FEWEST_DOCUMENTS` passages and at most half of them."""
        names = name_like_words(passages.texts, 0.5, language)
        held = [set(words_of(text, language)) - names for text in passages.texts]
        counts = Counter(word for each in held for word in each)
        most = max(FEWEST_DOCUMENTS, len(held) // 2)
        frequent = (word for word, count in counts.items() if FEWEST_DOCUMENTS <= count <= most)
        words = sorted(frequent, key=lambda word: (-counts[word], word))[:MOST_WORDS]
        place = {word: column for column, word in enumerate(words)}
        holds = np.zeros((len(held), len(words)), dtype=bool)
        for row, each in enumerate(held):
            holds[row, [place[word] for word in each if word in place]] = True
        return cls(words, holds, passages.document_of)

    def telling(
        self,
        inside: Float[np.ndarray, "passage"],
        among: Bool[np.ndarray, "passage"] | None = None,
        count: int = 8,
    ) -> list[str]:
        """Words that most distinguish the passages inside from the rest of `among` (default: all)."""
        among = np.ones(len(inside), dtype=bool) if among is None else among
        weights = inside[among]
        if not self.words or weights.sum() <= 0 or (1 - weights).sum() <= 0:
            return []
        holds, documents = self.holds[among], self.document_of[among]
        fewest = max(1, min(FEWEST_DOCUMENTS, len(np.unique(documents[weights >= 0.5]))))
        shares = weights @ holds / weights.sum()
        others = (1 - weights) @ holds / (1 - weights).sum()
        chosen = [
            word
            for word in telling_words(weights, holds, 5 * count)
            if len(np.unique(documents[holds[:, word] & (weights >= 0.5)])) >= fewest
            and shares[word] > others[word]
        ]
        return [self.words[word] for word in chosen[:count]]


@dataclass(frozen=True)
class Difference:
    """One difference between concept and topic."""

    title: str
    sentence: str
    words_about: str = ""
    words: Sequence[str] = ()
    titles: Sequence[str] = ()
    """Of the documents with most of those passages."""


@dataclass(frozen=True)
class Summary:
    """The content of the page's head."""

    verdict: str
    outcome: str
    certificate: str | None
    certified: bool
    topic_words: Sequence[str]
    concept_words: Sequence[str]
    typical: Sequence[str]
    facts: Sequence[tuple[str, str]]
    """Values, each with its caption."""
    differences: Sequence[Difference]


def summarise(material: Material) -> Summary:
    """The summary of a run."""
    newest, model = material.newest, material.pointer.model
    lexicon = Lexicon.of(material.passages, model.language)
    verdict, outcome = material.outcome
    certificate = material.certificate or {}
    return Summary(
        verdict=verdict,
        outcome=outcome,
        certificate=str(certificate["sentence"]) if certificate.get("sentence") else None,
        certified=bool(certificate.get("certified")),
        topic_words=model.top_words(material.pointer.topic),
        concept_words=lexicon.telling(newest.concept.membership, count=12),
        typical=_titles(material, newest.concept.inside, newest.concept.membership),
        facts=_facts(material),
        differences=_differences(material, lexicon) if len(material.records) > 1 else [],
    )


def _facts(material: Material) -> list[tuple[str, str]]:
    newest, inside = material.newest, material.newest.concept.inside
    claimed = material.claimed.sum()
    facts = [(f"{inside.sum()} of {len(inside)}", f"passages are members; the topic claimed {claimed}")]
    if (drift := metric(newest, "drift")) is not None:
        bound = material.config.tracking.drift_bound
        facts.append((f"{drift:.3f}", f"drift in the last round; converged below {bound}"))
    if (stayed := metric(newest, "pointer_kept")) is not None:
        facts.append((f"{stayed:.0%}", "of the topic's strongest passages stay inside"))
    if (agreement := metric(newest, "agreement")) is not None:
        base = metric(newest, "base_agreement")
        beside = f"; base model {base:.2f}" if base is not None else ""
        facts.append((f"{agreement:.2f}", f"mean membership of generated passages{beside}"))
    if (coherence := metric(newest, "coherence")) is not None:
        base = metric(material.first, "base_coherence")
        beside = f"; base model {base:.0%}" if base is not None else ""
        facts.append((f"{coherence:.0%}", f"of generated passages are coherent{beside}"))
    return facts


def _differences(material: Material, lexicon: Lexicon) -> list[Difference]:
    concept, claimed = material.newest.concept, material.claimed
    inside, change = concept.inside, np.abs(concept.membership - material.first.concept.membership)
    refused, taken = claimed & ~inside, inside & ~claimed
    sentence = "The topic claims no passage for certain."
    if claimed.any():
        sentence = (
            f"The topic claims {_passages(claimed.sum())}; the concept refuses {refused.sum()} of them."
        )
    return [
        Difference(
            "Refused passages",
            sentence,
            "Words that distinguish them from the claimed passages that stay",
            lexicon.telling(refused.astype(float), claimed) if (claimed & inside).any() else [],
            _titles(material, refused, change),
        ),
        Difference(
            "Added passages",
            f"The concept adds {_passages(taken.sum())} that the topic misses.",
            "Words that distinguish them from the other passages outside the topic",
            lexicon.telling(taken.astype(float), ~claimed),
            _titles(material, taken, change),
        ),
        _trusted_words(material, lexicon, inside) or _size(claimed, inside),
    ]


def _trusted_words(
    material: Material, lexicon: Lexicon, inside: Bool[np.ndarray, "passage"]
) -> Difference | None:
    """The topic words whose passages stay inside most and least; None with fewer than four words."""
    claimed = material.claimed
    if not claimed.any():
        return None
    usual = float(inside[claimed].mean())
    column = {word: at for at, word in enumerate(lexicon.words)}
    shares, scores = {}, {}
    for word in material.pointer.model.top_words(material.pointer.topic, TOPIC_WORDS):
        if word in column:
            holders = claimed & lexicon.holds[:, column[word]]
            if holders.sum() >= FEWEST_PASSAGES:
                shares[word] = float(inside[holders].mean())
                scores[word] = (shares[word] - usual) * float(np.sqrt(holders.sum()))
    if len(scores) < 4:
        return None
    ranked = sorted(scores, key=lambda word: -scores[word])
    count = min(4, len(ranked) // 2)
    most, least = (
        ", ".join(f"“{word}” {shares[word]:.0%}" for word in words)
        for words in (ranked[:count], ranked[::-1][:count])
    )
    return Difference(
        "Topic words the concept trusts",
        f"Of the passages that the topic claims, {usual:.0%} stay inside. With these words more: {most}. "
        f"With these words fewer: {least}.",
    )


def _size(claimed: Bool[np.ndarray, "passage"], inside: Bool[np.ndarray, "passage"]) -> Difference:
    return Difference(
        "Size",
        f"The concept contains {_passages(inside.sum())} and the topic {claimed.sum()}; "
        f"they share {(claimed & inside).sum()}.",
    )


def _titles(
    material: Material, chosen: Bool[np.ndarray, "passage"], weight: Float[np.ndarray, "passage"]
) -> list[str]:
    """Titles of the documents in which the chosen passages weigh most."""
    document_of = material.passages.document_of
    sums = np.bincount(
        document_of[chosen], weights=weight[chosen], minlength=len(material.passages.documents)
    )
    ranked = np.argsort(-sums, kind="stable")[: np.count_nonzero(sums)]
    documents = (material.passages.documents[number] for number in ranked)
    return list(dict.fromkeys(each.title for each in documents if each.title))[:TITLES]


def _passages(count: int) -> str:
    return "1 passage" if count == 1 else f"{count} passages"
