"""Starting pointers of a basin map: the topic with errors, or with less information.

A start is one score for every document. Random error shuffles scores, systematic error mixes in
another topic, and poor pointers are a few documents, a single word, or a topic of a smaller model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from agent.clustering.round_map import shuffled
from agent.config import StageConfig
from agent.corpora.words import ENGLISH, language, words_of
from agent.membership.documents import document_means
from agent.membership.log_odds import log_odds
from agent.membership.similarity import standardised
from agent.types import seed_for


class StartsConfig(StageConfig):
    """Kinds of starts and their numbers."""

    draws: int = Field(4, ge=1)
    """Starts of each random level."""
    noise: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Shares of the documents among which scores are shuffled."""
    mixtures: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Shares of a decoy topic in the mixture with the true one."""
    decoys: int = Field(30, ge=0)
    """Decoy topics at most, by falling mass."""
    documents: tuple[int, ...] = (3, 5, 10, 20, 40)
    """Numbers of seed documents, drawn from those of the topic."""
    authors: int = Field(8, ge=0)
    """Authors at most, those of most documents, whose three or more documents are the seed."""
    poorer: int = Field(6, ge=0)
    """Topics of smaller models: fewer topics, fewer passes, half of the documents."""


@dataclass(frozen=True)
class Start:
    """One starting pointer."""

    kind: str
    level: float
    """Amount of noise, of the decoy, or of seed documents; 0 where there is none."""
    name: str
    """Unique in a map, with the draw, decoy, word or author."""
    scores: Float[np.ndarray, "document"]


@dataclass(frozen=True)
class Material:
    """The data that starts are made from."""

    weights: Float[np.ndarray, "passage topic"]
    """Topic weights of every passage, each in (0, 1)."""
    topic: int
    """The pointer among them."""
    document_of: Int[np.ndarray, "passage"]
    texts: Sequence[str]
    authors: Sequence[str]
    """Of the documents; empty where unknown."""
    words: Sequence[str]
    """The words that picked the topic; each alone is a start."""
    topic_names: Sequence[str]
    """A few words for every topic."""
    language: str = ENGLISH

    def scores(self, weights: Float[np.ndarray, "passage"]) -> Float[np.ndarray, "document"]:
        """Mean log-odds over every document's passages, as the loop reads a pointer."""
        return document_means(log_odds(weights), self.document_of)


def starts(material: Material, config: StartsConfig, seed: int) -> list[Start]:
    """All starts except those of smaller models, which have to be fitted; the topic comes first."""
    topic = material.scores(material.weights[:, material.topic])
    counts = [Counter(words_of(text, material.language)) for text in material.texts]
    return [
        Start("topic", 0.0, "topic", topic),
        *_noisy(topic, config, seed),
        *_mixed(material, config),
        *_seeded(topic, config, seed),
        *_worded(material, counts),
        *_of_authors(material, config),
        Start(
            "words without topic", 0.0, "words without topic", _words_without_topic(material, counts, topic)
        ),
    ]


def of_poorer(number: int, weights: Float[np.ndarray, "passage"], material: Material) -> Start:
    """The start from a topic of a smaller model."""
    return Start("poorer topic", float(number), f"poorer topic {number}", material.scores(weights))


def _noisy(topic: Float[np.ndarray, "document"], config: StartsConfig, seed: int) -> Iterator[Start]:
    for share in config.noise:
        for draw in range(config.draws):
            name = f"noise {share:.0%} {draw}"
            yield Start("noise", share, name, shuffled(topic, share, seed_for(seed, 0, name)))


def _mixed(material: Material, config: StartsConfig) -> Iterator[Start]:
    true = material.weights[:, material.topic]
    by_mass = np.argsort(-material.weights.mean(axis=0), kind="stable")
    decoys = [int(topic) for topic in by_mass if topic != material.topic][: config.decoys]
    for decoy in decoys:
        other, named = material.weights[:, decoy], f"{decoy} ({material.topic_names[decoy]})"
        for share in config.mixtures:
            mixed = (1 - share) * true + share * other
            yield Start("mixture", share, f"mixture {share:.0%} {named}", material.scores(mixed))
        yield Start("other topic", 1.0, f"topic {named}", material.scores(other))


def _seeded(topic: Float[np.ndarray, "document"], config: StartsConfig, seed: int) -> Iterator[Start]:
    claimed = np.argsort(-topic, kind="stable")[: max(max(config.documents, default=1), len(topic) // 4)]
    for count in config.documents:
        if count > len(claimed):
            continue
        for draw in range(config.draws):
            name = f"{count} documents {draw}"
            chosen = np.random.default_rng(seed_for(seed, 0, name)).permutation(claimed)[:count]
            yield Start("documents", float(count), name, _only(chosen, len(topic)))


def _worded(material: Material, counts: Sequence[Counter[str]]) -> Iterator[Start]:
    """One word's rate in every document."""
    for word in material.words:
        parts = language(material.language).as_read(word)
        found = np.array([sum(each[part] for part in parts) for each in counts], dtype=np.float64)
        rate = document_means(found, material.document_of)
        if rate.any():
            yield Start("word", 0.0, f"word {word}", np.sqrt(rate))


def _of_authors(material: Material, config: StartsConfig) -> Iterator[Start]:
    books = Counter(author for author in material.authors if author)
    for author, count in sorted(books.items(), key=lambda each: (-each[1], each[0]))[: config.authors]:
        if count >= 3:
            own = np.flatnonzero([each == author for each in material.authors])
            yield Start("one author", float(count), f"author {author}", _only(own, len(material.authors)))


def _words_without_topic(
    material: Material, counts: Sequence[Counter[str]], topic: Float[np.ndarray, "document"]
) -> Float[np.ndarray, "document"]:
    """Documents that use the topic's words more than the topic explains."""
    wanted = {word.lower() for word in material.words}
    found = np.array([sum(each[word] for word in wanted) for each in counts], dtype=np.float64)
    rate = np.sqrt(document_means(found, material.document_of))
    return np.asarray(standardised(rate) - 2 * standardised(topic))


def _only(chosen: Int[np.ndarray, "chosen"], count: int) -> Float[np.ndarray, "document"]:
    scores = np.zeros(count)
    scores[chosen] = 1.0
    return scores
