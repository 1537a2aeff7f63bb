"""Write the topic browser: a page on which to find the topic that points at a concept."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.pointer.lda import seeded_counts
from agent.pointer.topic_model import SURE_WORDS
from agent.progress import timed
from loops.report import page
from loops.report.page import Page, View, fill, write
from loops.report.topic_map import (
    COHERENT_WORDS,
    coherences,
    distances,
    exclusivity,
    most_relevant,
    places,
    topic_shares,
    word_shares,
)
from loops.report.topic_views import TopicView, config_text

WEIGHTS = tuple(step / 10 for step in range(11))
"""Lambdas of the relevance slider."""
SHOWN_WORDS = 30
TYPICAL_PASSAGES, PER_DOCUMENT, TYPICAL_DOCUMENTS = 8, 2, 8
LARGEST_MATRIX = 1_500_000
"""Probabilities in a page; of a larger model the rarest words are left out."""


def write_topics(view: TopicView, file: Path | None) -> tuple[Path, int]:
    """Write the browser, by default beside a run or here, and return its path and size in bytes.

    Raises:
        BasinError: the file cannot be written.
    """
    page.obtain()
    path = file or (view.folder / "topics.html" if view.folder else Path(f"topics-{view.name}.html"))
    with timed("topics: coherence"):
        found = topics_page(view)
    return path, write(found, path)


def topics_page(view: TopicView) -> Page:
    """The page of the topic browser."""
    data = browser_data(view)
    how = fill("topics_how.html", data=data, coherent=COHERENT_WORDS, sure=SURE_WORDS)
    return Page(
        title=f"Topics of {view.name}",
        views=[
            View("find", "Find a topic", fill("topics_find.html", data=data, sure=SURE_WORDS)),
            View("all", "All topics", fill("topics_all.html", data=data)),
            View("how", "How to read it", how),
        ],
        lead=fill("topics_lead.html", data=data, description=view.passages.description),
        data=data,
        scripts=("topics.js", "topics_words.js"),
        styles=("topics.css",),
        foot="Made by Basin. This file contains texts of the corpus and needs no network.",
    )


def browser_data(view: TopicView) -> dict[str, Any]:
    """Numbers, words and passages of all topics, and configurations that start from them."""
    model = view.model
    words = _shown_words(view)
    position = np.full(len(model.vocabulary), -1)
    position[words] = np.arange(len(words))
    seeds = zip(*seeded_counts(model, view.config), strict=True)
    topics, shown = _topics(view, position)
    typical = [_typical_passages(view, topic) for topic in range(model.count)]
    passages = sorted({at for row in typical for at in row})
    row_of = {at: row for row, at in enumerate(passages)}
    for topic, row in zip(topics, typical, strict=True):
        topic["passages"] = [[row_of[at], view.weights[at, topic["number"]]] for at in row]
    return {
        "name": view.name,
        "topics": topics,
        "vocabulary": [model.vocabulary[index] for index in words],
        "left_out": len(model.vocabulary) - len(words),
        "given_topic": _pack(model.topic_word[:, words]),
        "word_shares": _pack(word_shares(model)[words]),
        "topic_shares": topic_shares(model),
        "expected_words": float(model.topic_word_counts.sum()),
        "seeded": {int(position[word]): float(count) for word, count in seeds if position[word] >= 0},
        "passages": [
            {
                "title": _title(view, view.chosen[at].document),
                "position": view.chosen[at].position,
                "text": view.chosen[at].text,
            }
            for at in passages
        ],
        "read": len(view.chosen),
        "plane_shows": shown,
        "picked": view.picked,
        "by_number": view.config.topic is not None,
        "words": list(view.config.words),
        "line_before": _around_words(view),
        "file": view.file,
    }


def _topics(view: TopicView, position: Int[np.ndarray, "word"]) -> tuple[list[dict[str, Any]], float]:
    """A row per topic, and the share of squared distances that the plane shows."""
    model = view.model
    apart = distances(model.topic_word)
    plane, shown = places(apart)
    coherence = coherences(model, [passage.text for passage in view.chosen])
    orders = np.stack([most_relevant(model, weight, SHOWN_WORDS) for weight in WEIGHTS], axis=1)
    largest, alone = view.weights.argmax(axis=1), exclusivity(model)
    np.fill_diagonal(apart, np.inf)
    return [
        {
            "number": topic,
            "words": model.top_words(topic),
            "share": view.weights[:, topic].mean(),
            "largest": int((largest == topic).sum()),
            "x": plane[topic, 0],
            "y": plane[topic, 1],
            "nearest": int(apart[topic].argmin()),
            "apart": apart[topic].min(),
            "npmi": coherence[topic],
            "exclusivity": alone[topic],
            "orders": position[orders[topic]],
            "sure": position[np.argsort(-model.topic_word[topic], kind="stable")[:SURE_WORDS]],
            "documents": _typical_documents(view, topic),
            "line": config_text({"topics": view.topics_tree(topic)} if view.file else view.tree(topic)),
        }
        for topic in range(model.count)
    ], shown


def _shown_words(view: TopicView) -> Int[np.ndarray, "shown"]:
    """Numbers of the words in the page, rising: all, or the most frequent and the listed ones."""
    room = max(LARGEST_MATRIX // view.model.count, 1)
    if len(view.model.vocabulary) <= room:
        return np.arange(len(view.model.vocabulary))
    frequent = np.argsort(-word_shares(view.model), kind="stable")[:room]
    listed = [most_relevant(view.model, weight, SHOWN_WORDS).ravel() for weight in WEIGHTS]
    sure = np.argsort(-view.model.topic_word, axis=1, kind="stable")[:, :SURE_WORDS].ravel()
    return np.unique(np.concatenate([frequent, sure, *listed]))


def _typical_passages(view: TopicView, topic: int) -> list[int]:
    """Places in `view.chosen` with the largest weights of the topic, at most two of a document."""
    counts: dict[int, int] = {}
    found: list[int] = []
    for at in np.argsort(-view.weights[:, topic], kind="stable"):
        document = view.chosen[at].document
        counts[document] = counts.get(document, 0) + 1
        if counts[document] <= PER_DOCUMENT:
            found.append(int(at))
        if len(found) == TYPICAL_PASSAGES:
            break
    return found


def _typical_documents(view: TopicView, topic: int) -> list[dict[str, Any]]:
    """The documents with the largest mean weight of the topic."""
    document_of = np.array([passage.document for passage in view.chosen])
    documents, inverse, counts = np.unique(document_of, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=view.weights[:, topic]) / counts
    best = np.argsort(-means, kind="stable")[:TYPICAL_DOCUMENTS]
    return [
        {"title": _title(view, documents[at]), "weight": means[at], "passages": counts[at]} for at in best
    ]


def _title(view: TopicView, document: int) -> str:
    found = view.passages.documents[document]
    return (found.title or found.id) + (f", {found.author}" if found.author else "")


def _around_words(view: TopicView) -> list[str]:
    """The text before and after the words, in lines that pick a topic by words."""
    mark = "WORDS-GO-HERE"
    tree = {"topics": view.topics_tree(None, [mark])} if view.file else view.tree(None, [mark])
    before, _, after = config_text(tree).partition(mark)
    return [before, after]


def _pack(array: Float[np.ndarray, "*any"]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()
