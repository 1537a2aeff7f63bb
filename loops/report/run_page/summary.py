"""The summary at the head of a run's page: words, key numbers, and differences from the topic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from agent.basin.fixed_points import telling_words
from agent.concept import MEMBER
from agent.corpora.words import name_like_words, words_of
from loops.report.run_page.material import Material, metric

MOST_WORDS = 3000
FEWEST_DOCUMENTS = 3
"""A word must occur in this many documents of the set, so that no single book supplies it."""
TITLES = 3


@dataclass(frozen=True)
class Summary:
    """The content of the page's head."""

    material: Material

    @property
    def concept_words(self) -> list[str]:
        """Words that distinguish the concept's members."""
        return self._telling(self.material.newest.concept.membership, count=12)

    @property
    def titles(self) -> list[str]:
        """Documents with most of the concept."""
        concept = self.material.newest.concept
        return self._titles(concept.inside, concept.membership)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Values, each with its caption."""
        newest, first = self.material.newest, self.material.first
        inside, claimed = newest.concept.inside, self.material.claimed.sum()
        facts = [(f"{inside.sum()} of {len(inside)}", f"passages are members; the pointer claimed {claimed}")]
        if (drift := metric(newest, "drift")) is not None:
            bound = self.material.config.tracking.drift_bound
            facts.append((f"{drift:.3f}", f"drift in the last round; converged below {bound}"))
        for name, record, shown, about in (
            ("agreement", newest, "{:.2f}", "mean membership of generated passages"),
            ("coherence", first, "{:.0%}", "of generated passages are coherent"),
        ):
            if (value := metric(newest, name)) is not None:
                base = metric(record, f"base_{name}")
                beside = "" if base is None else f"; base model {shown.format(base)}"
                facts.append((shown.format(value), about + beside))
        return facts

    @cached_property
    def differences(self) -> list[dict[str, Any]]:
        """Passages that the concept refuses, and passages that it adds; empty in round 0."""
        material = self.material
        if len(material.records) == 1:
            return []
        concept, claimed = material.newest.concept, material.claimed
        change = np.abs(concept.membership - material.first.concept.membership)
        refused, added = claimed & ~concept.inside, concept.inside & ~claimed
        return [
            {
                "title": "Refused passages",
                "sentence": f"The pointer claims {claimed.sum()} passages. The concept refuses {refused.sum()} of them.",
                "words_about": "Words that distinguish them from the claimed passages that stay",
                "words": self._telling(refused.astype(float), claimed),
                "titles": self._titles(refused, change),
            },
            {
                "title": "Added passages",
                "sentence": f"The concept adds {added.sum()} passages that the pointer misses.",
                "words_about": "Words that distinguish them from the other passages outside the pointer",
                "words": self._telling(added.astype(float), ~claimed),
                "titles": self._titles(added, change),
            },
        ]

    @cached_property
    def _lexicon(self) -> tuple[list[str], Bool[np.ndarray, "passage word"]]:
        """The more frequent words, without names, and which passages contain them."""
        texts, language = self.material.passages.texts, self.material.pointer.model.language
        names = name_like_words(texts, 0.5, language)
        held = [set(words_of(text, language)) - names for text in texts]
        counts = Counter(word for each in held for word in each)
        most = max(FEWEST_DOCUMENTS, len(held) // 2)
        frequent = (word for word, count in counts.items() if FEWEST_DOCUMENTS <= count <= most)
        words = sorted(frequent, key=lambda word: (-counts[word], word))[:MOST_WORDS]
        return words, np.array([[word in each for word in words] for each in held], dtype=bool)

    def _telling(
        self,
        inside: Float[np.ndarray, "passage"],
        among: Bool[np.ndarray, "passage"] | None = None,
        count: int = 8,
    ) -> list[str]:
        """Words that most distinguish the passages inside from the rest of `among`."""
        words, holds = self._lexicon
        among = np.ones(len(inside), dtype=bool) if among is None else among
        weights, holds, documents = inside[among], holds[among], self.material.passages.document_of[among]
        if not words or weights.sum() <= 0 or (1 - weights).sum() <= 0:
            return []
        members = weights >= MEMBER
        fewest = max(1, min(FEWEST_DOCUMENTS, len(np.unique(documents[members]))))
        more = weights @ holds / weights.sum() > (1 - weights) @ holds / (1 - weights).sum()
        chosen = [
            word
            for word in telling_words(weights, holds, 5 * count)
            if more[word] and len(np.unique(documents[holds[:, word] & members])) >= fewest
        ]
        return [words[word] for word in chosen[:count]]

    def _titles(self, chosen: Bool[np.ndarray, "passage"], weight: Float[np.ndarray, "passage"]) -> list[str]:
        """Titles of the documents in which the chosen passages weigh most."""
        passages = self.material.passages
        count = len(passages.documents)
        sums = np.bincount(passages.document_of[chosen], weights=weight[chosen], minlength=count)
        ranked = np.argsort(-sums, kind="stable")[: np.count_nonzero(sums)]
        titles = (passages.documents[number].title for number in ranked)
        return list(dict.fromkeys(title for title in titles if title))[:TITLES]
