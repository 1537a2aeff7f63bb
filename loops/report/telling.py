"""Which words tell one set of passages from another: for sentences about what a concept took in and threw out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from agent.fixed_points import telling_words
from agent.types import PassageSet
from agent.words import ENGLISH, name_like_words, words_of

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
