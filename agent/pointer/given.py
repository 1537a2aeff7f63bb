"""Pointers that are no LDA of our own: keywords, examples, weights of documents, or a topic model fitted elsewhere.

Each comes down to a `TopicModel` of plain arrays, which reads new texts as well as the corpus, so that everything after it
is the same. Keywords, examples and weights make two topics, theirs and the rest of the corpus; topic 0 is the pointer.
Add a way to point: a field here, and a file beside `from_words.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import model_validator

from agent.corpora.words import ENGLISH
from agent.errors import BasinError
from agent.pointer.examples import from_document_weights, from_examples
from agent.pointer.imported import (
    from_bertopic,
    from_sklearn,
    load_topic_model,
    read_examples,
    read_weights,
    save_topic_model,
)
from agent.pointer.keywords import from_keywords
from agent.pointer.topic_model import Pointer, TopicModel, TopicsConfig, pick
from agent.types import Document, StageConfig

logger = logging.getLogger(__name__)

__all__ = [
    "PointerConfig",
    "from_bertopic",
    "from_document_weights",
    "from_examples",
    "from_keywords",
    "from_sklearn",
    "load_topic_model",
    "point",
    "save_topic_model",
]
WAYS = ("keywords", "examples", "examples_file", "document_weights", "topic_model")


class PointerConfig(StageConfig):
    """What points at the concept instead of a topic that is fitted here; at most one of these."""

    keywords: tuple[str, ...] = ()
    """Single words that texts of the concept use: a text's weight is the share of its words that are among them."""
    examples: tuple[str, ...] = ()
    """Texts of the concept, longer than a sentence."""
    examples_file: str | None = None
    """The same from a folder, or a .txt, .jsonl or .parquet file; in a .txt file examples are apart by empty lines."""
    document_weights: str | None = None
    """How much each document belongs, in [0, 1]: a .json list in the corpus's order, or .jsonl or .parquet with `weight_field`,
    and `id` or `title` where they are in another order. For topics of BERTopic, scikit-learn or anything else."""
    weight_field: str = "weight"
    topic_model: str | None = None
    """A topic model fitted elsewhere, as `save_topic_model` writes it; `topics.topic` or `topics.words` picks the topic."""

    @property
    def way(self) -> str | None:
        """Which of the ways is set, or None: a topic is fitted."""
        return next((name for name in WAYS if getattr(self, name)), None)

    @property
    def files(self) -> dict[str, str]:
        """Fields that name files, and what they name."""
        return {name: getattr(self, name) for name in WAYS[2:] if getattr(self, name)}

    @model_validator(mode="after")
    def _one_way(self) -> PointerConfig:
        given = [name for name in WAYS if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} both point; keep one of them")
        return self


def point(
    loaded: Sequence[Document], kept: Sequence[Document], config: PointerConfig, topics: TopicsConfig
) -> Pointer:
    """The pointer that the configuration gives.

    Args:
        loaded: the corpus as it was read, which weights are listed by.
        kept: those of its documents that have passages.

    Raises:
        BasinError: a file is not there or not what it should be, or nothing of it is in the corpus.
    """
    if config.keywords:
        return Pointer(from_keywords(config.keywords, kept, topics.language), 0)
    if config.examples or config.examples_file:
        examples = config.examples or read_examples(Path(str(config.examples_file)))
        return Pointer(from_examples(examples, kept, topics.language), 0)
    if config.document_weights:
        weights = read_weights(Path(config.document_weights), config.weight_field, loaded, kept)
        model, told = from_document_weights(weights, kept, topics.language)
        logger.info(told)
        return Pointer(model, 0)
    if config.topic_model:
        if topics.language != ENGLISH:
            raise BasinError(
                "pointer.topic_model is read as English: leave out topics.language, or fit a topic here."
            )
        return pick(_heard(load_topic_model(Path(config.topic_model)), kept), topics)
    raise ValueError("nothing points: a topic has to be fitted")


def _heard(model: TopicModel, documents: Sequence[Document]) -> TopicModel:
    """The model, once it is known that it says something of this corpus."""
    if not any(row.any() for row in model.expected_words([each.text[:20_000] for each in documents[:200]])):
        raise BasinError(
            "None of the topic model's words is in the corpus: was it fitted on texts of another language, or on n-grams alone?"
        )
    return model
