"""The head of a run's page: what the concept is, whether it came to rest, and three ways in which it differs from its topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from agent.basin.fixed_points import telling_words
from agent.corpora.words import ENGLISH, name_like_words, words_of
from agent.types import PassageSet
from loops.report.run_page.material import Material

MOST_WORDS = 3000
FEWEST_DOCUMENTS = 3
"""A word of fewer of the told documents is one book's, not the set's; unless the set has no more."""


@dataclass(frozen=True)
class Lexicon:
    """Which passages hold which of the corpus's more frequent words; names are left out."""

    words: list[str]
    holds: Bool[np.ndarray, "passage word"]
    document_of: np.ndarray

    @classmethod
    def of(cls, passages: PassageSet, code: str = ENGLISH) -> Lexicon:
        names = name_like_words(passages.texts, 0.5, code)
        held = [set(words_of(text, code)) - names for text in passages.texts]
        counts = Counter(word for each in held for word in each)
        most = max(FEWEST_DOCUMENTS, len(held) // 2)
        words = sorted(
            (word for word, count in counts.items() if FEWEST_DOCUMENTS <= count <= most),
            key=lambda word: (-counts[word], word),
        )[:MOST_WORDS]
        place = {word: column for column, word in enumerate(words)}
        holds = np.zeros((len(held), len(words)), dtype=bool)
        for row, each in enumerate(held):
            holds[row, [place[word] for word in each if word in place]] = True
        return cls(words, holds, passages.document_of)

    def tell(
        self,
        inside: Float[np.ndarray, "passage"],
        among: Bool[np.ndarray, "passage"] | None = None,
        count: int = 8,
    ) -> list[str]:
        """Words by how many deviations more of the inside hold them than of the rest of `among` (by default all passages)."""
        among = np.ones(len(inside), dtype=bool) if among is None else among
        weights = inside[among]
        if not self.words or weights.sum() <= 0 or (1 - weights).sum() <= 0:
            return []
        holds = self.holds[among]
        documents = self.document_of[among]
        fewest = min(FEWEST_DOCUMENTS, len(np.unique(documents[weights >= 0.5])))
        ranked = telling_words(weights, holds, 5 * count)
        chosen = [
            word
            for word in ranked
            if len(np.unique(documents[holds[:, word] & (weights >= 0.5)])) >= max(fewest, 1)
            and weights @ holds[:, word] / weights.sum()
            > (1 - weights) @ holds[:, word] / (1 - weights).sum()
        ]
        return [self.words[word] for word in chosen[:count]]


TITLES = 3
TOPIC_WORDS = 40
"""Of the topic's most probable words, to see which of them the concept trusts."""
FEWEST = 8
"""Passages with a word, from which it can be said what became of them."""


@dataclass(frozen=True)
class Difference:
    """One way in which the concept is not the topic."""

    title: str
    sentence: str
    words_about: str = ""
    words: Sequence[str] = ()
    titles: Sequence[str] = ()
    """Of the documents with most of those passages."""


@dataclass(frozen=True)
class Fact:
    """A number that is read at a glance."""

    value: str
    about: str


@dataclass(frozen=True)
class Summary:
    """What the head of the page says."""

    verdict: str
    outcome: str
    certificate: str | None
    certified: bool
    topic_words: Sequence[str]
    concept_words: Sequence[str]
    typical: Sequence[str]
    facts: Sequence[Fact] = field(default_factory=list)
    differences: Sequence[Difference] = field(default_factory=list)


def summarise(material: Material, lexicon: Lexicon) -> Summary:
    """The head of the page of a run."""
    newest, model = material.newest, material.pointer.model
    verdict, outcome = material.outcome
    certificate = material.certificate or {}
    return Summary(
        verdict=verdict,
        outcome=outcome,
        certificate=str(certificate["sentence"]) if certificate.get("sentence") else None,
        certified=bool(certificate.get("certified")),
        topic_words=model.top_words(material.pointer.topic),
        concept_words=lexicon.tell(newest.concept.membership, count=12),
        typical=_titles(material, newest.concept.inside, newest.concept.membership),
        facts=_facts(material),
        differences=_differences(material, lexicon) if len(material.records) > 1 else [],
    )


def _facts(material: Material) -> list[Fact]:
    newest, claimed = material.newest, material.claimed
    of, inside = newest.metrics, newest.concept.inside
    facts = [
        Fact(f"{inside.sum()} of {len(inside)}", f"passages are inside; the topic claimed {claimed.sum()}"),
    ]
    if (drift := of.get("drift")) is not None:
        facts.append(
            Fact(
                f"{drift:.3f}",
                f"drift in the last round; still is below {material.config.tracking.drift_bound}",
            )
        )
    if (kept := of.get("pointer_kept")) is not None:
        facts.append(Fact(f"{kept:.0%}", "of what the topic is surest of is still inside"))
    if (agreement := of.get("agreement")) is not None:
        base = of.get("base_agreement")
        beside = f"; of the base model's {base:.2f}" if base is not None else ""
        facts.append(Fact(f"{agreement:.2f}", f"mean membership of what it writes{beside}"))
    if (coherence := of.get("coherence")) is not None:
        base = material.first.metrics.get("base_coherence")
        beside = f"; of the base model's {base:.0%}" if base is not None else ""
        facts.append(Fact(f"{coherence:.0%}", f"of what it writes is readable{beside}"))
    return facts


def _differences(material: Material, lexicon: Lexicon) -> list[Difference]:
    concept, claimed = material.newest.concept, material.claimed
    inside, change = concept.inside, np.abs(concept.membership - material.first.concept.membership)
    threw_out, took_in = claimed & ~inside, inside & ~claimed
    out = Difference(
        "What it threw out",
        f"Of the {_passages(claimed.sum())} that the topic claims, the concept throws out {threw_out.sum()}."
        if claimed.any()
        else "The topic claims no passage for certain.",
        "What tells those from the ones that it keeps",
        lexicon.tell(threw_out.astype(float), claimed) if (claimed & inside).any() else [],
        _titles(material, threw_out, change),
    )
    added = Difference(
        "What it took in",
        f"It takes in {_passages(took_in.sum())} that the topic misses.",
        "What tells those from the others that the topic misses",
        lexicon.tell(took_in.astype(float), ~claimed),
        _titles(material, took_in, change),
    )
    return [out, added, _trusted(material, lexicon, claimed, inside) or _larger(claimed, inside)]


def _trusted(
    material: Material,
    lexicon: Lexicon,
    claimed: Bool[np.ndarray, "passage"],
    inside: Bool[np.ndarray, "passage"],
) -> Difference | None:
    """Which of the topic's own words the concept goes by, and which it does not; None where too few can be told."""
    if not claimed.any():
        return None
    usual = float(inside[claimed].mean())
    column = {word: at for at, word in enumerate(lexicon.words)}
    kept: dict[str, tuple[float, float]] = {}
    for word in material.pointer.model.top_words(material.pointer.topic, TOPIC_WORDS):
        if word in column:
            holders = claimed & lexicon.holds[:, column[word]]
            if holders.sum() >= FEWEST:
                share = float(inside[holders].mean())
                kept[word] = share, (share - usual) * float(np.sqrt(holders.sum()))
    if len(kept) < 4:
        return None
    ranked = sorted(kept, key=lambda word: -kept[word][1])
    most, least = ranked[: min(4, len(ranked) // 2)], ranked[::-1][: min(4, len(ranked) // 2)]
    return Difference(
        "Which of the topic's words it goes by",
        f"Of passages that the topic claims, {usual:.0%} stay inside: with {_counted(most, kept)}; but with "
        f"{_counted(least, kept)}.",
    )


def _larger(claimed: Bool[np.ndarray, "passage"], inside: Bool[np.ndarray, "passage"]) -> Difference:
    return Difference(
        "How large it is",
        f"It holds {_passages(inside.sum())}, where the topic claims {claimed.sum()}; they share {(claimed & inside).sum()}.",
    )


def _titles(material: Material, chosen: Bool[np.ndarray, "passage"], weight: np.ndarray) -> list[str]:
    """Titles of the documents that the chosen passages weigh most in."""
    weights: Counter[int] = Counter()
    for at in np.flatnonzero(chosen):
        weights[material.passages.passages[at].document] += float(weight[at])
    documents = (material.passages.documents[number] for number, _ in weights.most_common())
    return list(dict.fromkeys(each.title for each in documents if each.title))[:TITLES]


def _counted(words: Sequence[str], kept: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"“{word}” {kept[word][0]:.0%}" for word in words)


def _passages(count: int) -> str:
    return "1 passage" if count == 1 else f"{count} passages"
