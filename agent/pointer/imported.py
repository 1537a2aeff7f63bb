"""Topic models and document weights from elsewhere: scikit-learn, BERTopic, and files.

Nothing is pickled: a pointer needs only words, a number per word and topic, and a prior.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer

from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.parquet import read_parquet
from agent.corpora.tables import one_line, read_jsonl
from agent.corpora.text import clean_text, read_text
from agent.corpora.words import words_of
from agent.errors import BasinError, quoted
from agent.files.bounded import read_whole
from agent.files.checked import DamagedError, parse_json
from agent.pointer.topic_model import TopicModel, read_topic_model, write_topic_model
from agent.types import Document

PSEUDO_WORDS = 10_000.0
"""Pseudo-counts of a topic given as shares (NMF)."""
FLOOR = 0.01


def from_sklearn(model: Any, vectorizer: Any) -> TopicModel:
    """The topics of a fitted `LatentDirichletAllocation` or `NMF`, with its vectorizer.

    Words shorter than three letters, stop words and n-grams are left out. NMF's rows count as
    shares of words; texts are then read by LDA's inference, not by NMF's. Raises `BasinError` if
    the model is not fitted, or was fitted with another vectorizer.
    """
    try:
        topics = np.array(model.components_, dtype=np.float64)
        words = [str(word) for word in vectorizer.get_feature_names_out()]
    except Exception as error:  # estimators raise different classes when not fitted
        raise BasinError(
            f"{type(model).__name__} has no topics yet ({type(error).__name__}): fit it first."
        ) from None
    if topics.ndim != 2 or topics.shape[1] != len(words):
        raise BasinError(
            f"{type(model).__name__} has {topics.shape[-1]} words and the vectorizer {len(words)}: "
            "give the one it was fitted with."
        )
    prior = getattr(model, "doc_topic_prior_", None)
    if prior is None:
        topics *= PSEUDO_WORDS / np.maximum(topics.sum(axis=1, keepdims=True), 1e-12)
    alpha = np.full(len(topics), float(prior if prior is not None else 1 / len(topics)))
    return _readable_model(words, topics, alpha)


def from_bertopic(model: Any, documents: Sequence[str]) -> TopicModel:
    """The topics of a fitted `BERTopic`, with its documents; outliers (-1) become the last topic.

    A topic's word counts are those of its documents, weighted by their assignment probability.
    Raises `BasinError` if the model is not fitted, or was fitted on other documents.
    """
    assigned = getattr(model, "topics_", None)
    if assigned is None:
        raise BasinError("The BERTopic model has no topics yet: fit it first.")
    if len(assigned) != len(documents):
        raise BasinError(
            f"The BERTopic model was fitted on {len(assigned)} documents, and {len(documents)} are given: give those."
        )
    count = max(max(assigned) + 1, 1)
    weights = np.zeros((count + 1, len(documents)))
    found = getattr(model, "probabilities_", None)
    shares = np.asarray(1.0 if found is None else found)
    for number, topic in enumerate(assigned):
        # One number per document, or a row with one per topic; none for outliers.
        own = shares if shares.ndim == 0 else shares[number]
        own = own[max(topic, 0)] if np.ndim(own) else own
        weights[topic, number] = float(own) if topic >= 0 and float(own) > 0 else 1.0
    vectorizer = CountVectorizer(analyzer=words_of)
    counts = vectorizer.fit_transform([clean_text(each) for each in documents])
    topics = weights @ counts
    return _readable_model(
        list(map(str, vectorizer.get_feature_names_out())),
        np.asarray(topics),
        np.full(count + 1, 1 / (count + 1)),
    )


def save_topic_model(model: TopicModel, path: Path | str) -> Path:
    """Write a topic model for `pointer.topic_model`, as safetensors. Raises `BasinError` for other endings."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise BasinError(f"{path} is no name for a topic model: let it end in .safetensors.")
    write_topic_model(model, path)
    return path


def load_topic_model(path: Path) -> TopicModel:
    """Read a topic model as `save_topic_model` writes it, with the words that Basin reads in texts.

    Raises `BasinError` if the file is missing or holds no topic model.
    """
    if not path.is_file():
        raise BasinError(f"There is no topic model at {path}: check the path.")
    try:
        found = read_topic_model(path)
    except DamagedError as damage:
        raise BasinError(
            f"{path} is no topic model ({str(damage)[:150]}): write one with save_topic_model."
        ) from None
    return _readable_model(found.vocabulary, found.topic_word_counts, found.alpha)


def _readable_model(
    words: Sequence[str], topics: Float[np.ndarray, "topic _words"], alpha: Float[np.ndarray, "topic"]
) -> TopicModel:
    """The model restricted to the words that Basin reads in texts."""
    columns: dict[str, int] = {}
    for number, word in enumerate(map(clean_text, words)):
        if words_of(word) == [word] and word not in columns:
            columns[word] = number
    if not columns:
        raise BasinError(
            "None of the topic model's words is a single word of three letters or more: give its unigrams."
        )
    return TopicModel(tuple(columns), np.maximum(topics[:, list(columns.values())], FLOOR), alpha, 0)


MOST_WEIGHT_BYTES = 64 << 20
WEIGHTS_REMEDY = "give the weights as Parquet"


def read_examples(path: Path) -> list[str]:
    """The texts of a folder or file; empty lines separate those in a `.txt`.

    Raises `BasinError` if there are none, or as `load_corpus`.
    """
    if path.suffix.lower() == ".txt" and path.is_file():
        text = clean_text(read_text(path))
        found = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    else:
        found = [document.text for document in load_corpus(CorpusConfig(source=str(path)))]
    if not found:
        raise BasinError(f"{path} has no examples: write some, apart by empty lines.")
    return found


def read_weights(
    path: Path, field: str, loaded: Sequence[Document], documents: Sequence[Document]
) -> Float[np.ndarray, "document"]:
    """The weight of each document; rows without `id` and `title` are in the order of `loaded`.

    Raises `BasinError` if the file is of another kind, a weight is missing or invalid, or rows do
    not match.
    """
    rows = _rows(path, field)
    key = next(
        (key for key in ("id", "title") if rows and all(row.get(key) not in (None, "") for row in rows)), None
    )
    if key is None:
        if len(rows) != len(loaded):
            raise BasinError(
                f"{path} has {len(rows)} weights and the corpus {len(loaded)} documents: give one for each in order, or "
                "rows with an id or a title."
            )
        by_id = {document.id: _number(row, field, path) for row, document in zip(rows, loaded, strict=True)}
        return np.array([by_id[document.id] for document in documents])
    by_key = {one_line(row[key]): _number(row, field, path) for row in rows}
    missing = [document for document in documents if getattr(document, key) not in by_key]
    if missing:
        raise BasinError(
            f"{path} has no weight for {len(missing)} of {len(documents)} documents, such as "
            f"{quoted(getattr(missing[0], key))}: give every document of the corpus a row, by {key}."
        )
    return np.array([by_key[getattr(document, key)] for document in documents])


def _rows(path: Path, field: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise BasinError(f"There are no document weights at {path}: check the path.")
    kind = path.suffix.lower()
    if kind == ".json":
        try:
            tree = parse_json(read_whole(path, MOST_WEIGHT_BYTES, WEIGHTS_REMEDY), path.name)
        except DamagedError as damage:
            raise BasinError(f"{path} cannot be read ({damage}): write it again.") from None
        if not isinstance(tree, list):
            raise BasinError(f"{path} is no list of weights: write [0.1, 0.9, ...] in the corpus's order.")
        return [each if isinstance(each, dict) else {field: each} for each in tree]
    if kind in (".jsonl", ".ndjson"):
        return [row for _, row in read_jsonl(path)]
    if kind == ".parquet":
        return [row for _, row in read_parquet(path, ("id", "title", field))]
    raise BasinError(f"{path} is no .json, .jsonl or .parquet file: write the weights as one of these.")


def _number(row: dict[str, Any], field: str, path: Path) -> float:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BasinError(
            f"{path} has {quoted(value)} for a weight ({field}): give numbers from 0 to 1, and pointer.weight_field where the "
            "field has another name."
        )
    return float(value)
