"""How near a text is to the words that a user gave, as a sentence embedder reads both.

A topic counts words, so it errs where words are used otherwise, or where no topic fits the words. An
embedder reads sentences and errs elsewhere. The pointer is the sum of both, standardised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from sklearn.preprocessing import normalize

from agent.membership.similarity import spread

Embed = Callable[[Sequence[str]], Float[np.ndarray, "text column"]]
TEMPLATES = ("{}", "A text about {}.")  # their similarities are averaged


@dataclass(frozen=True)
class WordSimilarity:
    """The words' embedding, and the scales of topic and similarity on the real passages."""

    query: Float[np.ndarray, "column"]
    topic: tuple[float, float]
    """Mean and standard deviation of the topic's log-odds."""
    similarity: tuple[float, float]
    deviation: float
    """Of the sum of both, standardised."""

    @classmethod
    def fit(
        cls,
        words: Sequence[str],
        embed: Embed,
        topic: Float[np.ndarray, "passage"],
        embeddings: Float[np.ndarray, "passage column"],
    ) -> WordSimilarity:
        """Read the words, and find the scales on the real passages; `topic` is its log-odds there."""
        query = normalize(embed([each.format(", ".join(words)) for each in TEMPLATES])).mean(0)
        plain = cls(query, _scale(topic), _scale(normalize(embeddings) @ query), 1.0)
        return replace(plain, deviation=spread(plain._sum(topic, embeddings)))

    @property
    def correlation(self) -> float:
        """Of topic and similarity over the real passages."""
        return self.deviation**2 / 2 - 1

    def joined(
        self, topic: Float[np.ndarray, "text"], embeddings: Float[np.ndarray, "text column"]
    ) -> Float[np.ndarray, "text"]:
        """The pointer's log-odds, with the mean and the deviation of the topic's, 1 nat at least."""
        mean, deviation = self.topic
        return mean + max(deviation, 1.0) * self._sum(topic, embeddings) / self.deviation

    def _sum(
        self, topic: Float[np.ndarray, "text"], embeddings: Float[np.ndarray, "text column"]
    ) -> Float[np.ndarray, "text"]:
        near = normalize(embeddings) @ self.query
        words = (near - self.similarity[0]) / self.similarity[1]
        found: np.ndarray = (topic - self.topic[0]) / self.topic[1] + words
        return found


def _scale(values: Float[np.ndarray, "value"]) -> tuple[float, float]:
    return float(values.mean()), spread(values)
