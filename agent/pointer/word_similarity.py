"""How near a text is to the words that a user gave, as a sentence embedder reads both.

A topic counts words, so it errs where words are used otherwise, or where no topic fits the words. An
embedder reads sentences and errs elsewhere. The pointer is the sum of both, standardised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Embed = Callable[[Sequence[str]], Float[np.ndarray, "text column"]]
TEMPLATES = ("{}", "A text about {}.")
"""The words alone, and in a sentence; their similarities are averaged."""
SMALLEST_DEVIATION = 1e-9


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
        """Read the words, and find the scales on the real passages.

        Args:
            topic: the topic's log-odds.
        """
        listed = ", ".join(words)
        query = _unit(np.asarray(embed([each.format(listed) for each in TEMPLATES]))).mean(0)
        found = _unit(embeddings) @ query
        plain = cls(query, _scale(topic), _scale(found), 1.0)
        return cls(query, plain.topic, plain.similarity, _scale(plain._sum(topic, embeddings))[1])

    def joined(
        self, topic: Float[np.ndarray, "text"], embeddings: Float[np.ndarray, "text column"]
    ) -> Float[np.ndarray, "text"]:
        """The pointer's log-odds, with the mean and the deviation of the topic's, 1 nat at least."""
        mean, deviation = self.topic
        return mean + max(deviation, 1.0) * self._sum(topic, embeddings) / self.deviation

    def _sum(
        self, topic: Float[np.ndarray, "text"], embeddings: Float[np.ndarray, "text column"]
    ) -> Float[np.ndarray, "text"]:
        near = _unit(embeddings) @ self.query
        words = (near - self.similarity[0]) / self.similarity[1]
        found: np.ndarray = (topic - self.topic[0]) / self.topic[1] + words
        return found


def _unit(rows: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    length: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, SMALLEST_DEVIATION))


def _scale(values: Float[np.ndarray, "value"]) -> tuple[float, float]:
    return float(values.mean()), max(float(values.std()), SMALLEST_DEVIATION)
