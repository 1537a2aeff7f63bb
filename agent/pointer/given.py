"""Pointers without a fit of our own: keywords, examples, document weights, or an imported topic model.

Each becomes a `TopicModel`, which also reads new texts. Keywords, examples and weights make two
topics, with the pointer as topic 0. To add a source, add a field here and a module beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import model_validator

from agent.config import PathSetting, StageConfig
from agent.corpora.text import CleanText
from agent.corpora.words import ENGLISH, refuse_other_script
from agent.errors import BasinError
from agent.pointer.examples import from_document_weights, from_examples, from_keywords
from agent.pointer.imported import load_topic_model, read_examples, read_weights
from agent.pointer.topic_model import Pointer, TopicModel, TopicsConfig, pick
from agent.types import Document

SOURCES = ("keywords", "examples", "examples_file", "document_weights", "topic_model")


class PointerConfig(StageConfig):
    """A pointer that replaces the fitted topic; at most one of these."""

    keywords: tuple[CleanText, ...] = ()
    """Single words of the concept. A text's weight is the share of its words among them."""
    examples: tuple[CleanText, ...] = ()
    """Texts of the concept, longer than a sentence."""
    examples_file: Annotated[str | None, PathSetting()] = None
    """A folder, or a .txt (separated by empty lines), .jsonl or .parquet file of examples."""
    document_weights: Annotated[str | None, PathSetting()] = None
    """Membership of each document, in [0, 1]: a .json list in corpus order, or .jsonl or .parquet rows
    with `weight_field`. Rows with `id` or `title` may come in any order."""
    weight_field: str = "weight"
    topic_model: Annotated[str | None, PathSetting()] = None
    """A file by `save_topic_model`; `topics.topic` or `topics.words` picks the topic."""

    @property
    def way(self) -> str | None:
        """The field that is set, or None if a topic is to be fitted."""
        return next((name for name in SOURCES if getattr(self, name)), None)

    @model_validator(mode="after")
    def _one_way(self) -> PointerConfig:
        given = [name for name in SOURCES if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} both point; keep one of them")
        return self


def point(
    loaded: Sequence[Document], documents: Sequence[Document], config: PointerConfig, topics: TopicsConfig
) -> Pointer:
    """The configured pointer.

    Args:
        loaded: the corpus as read, in the order of listed weights.
        documents: those that have passages.

    Raises:
        BasinError: a file is missing or invalid, or shares no word with the corpus.
    """
    refuse_other_script([document.text for document in documents], topics.language)
    if config.keywords:
        return Pointer(from_keywords(config.keywords, documents, topics.language), 0)
    if config.examples or config.examples_file:
        examples = config.examples or read_examples(Path(str(config.examples_file)))
        return Pointer(from_examples(examples, documents, topics.language), 0)
    if config.document_weights:
        weights = read_weights(Path(config.document_weights), config.weight_field, loaded, documents)
        return Pointer(from_document_weights(weights, documents, topics.language), 0)
    if config.topic_model:
        if topics.language != ENGLISH:
            raise BasinError(
                "pointer.topic_model is read as English: leave out topics.language, or fit a topic here."
            )
        return pick(_require_known_words(load_topic_model(Path(config.topic_model)), documents), topics)
    raise ValueError("nothing points: a topic has to be fitted")


def _require_known_words(model: TopicModel, documents: Sequence[Document]) -> TopicModel:
    """The model; raises `BasinError` if the corpus has none of its words."""
    if not any(row.any() for row in model.expected_words([each.text[:20_000] for each in documents[:200]])):
        raise BasinError(
            "None of the topic model's words is in the corpus: was it fitted on texts of another language, or on n-grams alone?"
        )
    return model
