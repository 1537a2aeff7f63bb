"""The topic browser: one page on which a person finds the topic that points at what they mean."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from agent.pointer.lda import seeded_counts
from agent.pointer.topic_model import SURE_WORDS
from agent.progress import timed
from loops.report import page as plotly_bundle
from loops.report.page import Page, View, fill, write
from loops.report.topic_map import (
    COHERENT_WORDS,
    coherences,
    distances,
    distinctiveness,
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
"""Probabilities that a page carries; of a larger model the rarest words are left out, and the page says so."""


def write_topics(view: TopicView, file: Path | None) -> tuple[Path, int]:
    """Write the browser, by default beside a run or here; where it is, and its bytes.

    Raises:
        BasinError: the file cannot be written.
    """
    plotly_bundle.obtain()
    path = file or (view.folder / "topics.html" if view.folder else Path(f"topics-{view.name}.html"))
    with timed("topics: coherence"):
        page = topics_page(view)
    return path, write(page, path)


def topics_page(view: TopicView) -> Page:
    """The page; everything that it shows is in its data."""
    data = browser_data(view)
    return Page(
        title=f"Topics of {view.name}",
        views=[
            View("find", "Find a topic", fill("topics_find.html", data=data, sure=SURE_WORDS)),
            View("all", "All topics", fill("topics_all.html", data=data)),
            View(
                "how",
                "How to read it",
                fill("topics_how.html", data=data, coherent=COHERENT_WORDS, sure=SURE_WORDS),
            ),
        ],
        lead=fill("topics_lead.html", data=data, description=view.passages.description),
        data=data,
        scripts=("topics.js", "topics_words.js"),
        styles=("topics.css",),
        foot="Made by Basin. This file holds texts of the corpus; it loads nothing and sends nothing.",
    )


def browser_data(view: TopicView) -> dict[str, Any]:
    """The numbers of the page: topics, words, typical passages, and the lines that start from a topic."""
    model = view.model
    kept = _kept_words(view)
    position = np.full(len(model.vocabulary), -1)
    position[kept] = np.arange(len(kept))
    apart = distances(model.topic_word)
    plane, shown = places(apart)
    measured = coherences(model, [passage.text for passage in view.chosen])
    orders = np.stack([most_relevant(model, weight, SHOWN_WORDS) for weight in WEIGHTS], axis=1)
    typical = [_typical_passages(view, topic) for topic in range(model.count)]
    carried = sorted({at for row in typical for at in row})
    row_of = {at: row for row, at in enumerate(carried)}
    largest = view.weights.argmax(axis=1)
    alone = exclusivity(model)
    np.fill_diagonal(apart, np.inf)
    topics = [
        {
            "number": topic,
            "words": model.top_words(topic),
            "share": view.weights[:, topic].mean(),
            "largest": int((largest == topic).sum()),
            "x": plane[topic, 0],
            "y": plane[topic, 1],
            "nearest": int(apart[topic].argmin()),
            "apart": apart[topic].min(),
            "npmi": measured["c_npmi"][topic],
            "umass": measured["u_mass"][topic],
            "exclusivity": alone[topic],
            "orders": position[orders[topic]],
            "sure": position[np.argsort(-model.topic_word[topic], kind="stable")[:SURE_WORDS]],
            "passages": [[row_of[at], view.weights[at, topic]] for at in typical[topic]],
            "documents": _typical_documents(view, topic),
            "line": _line(view, topic),
        }
        for topic in range(model.count)
    ]
    return {
        "name": view.name,
        "topics": topics,
        "vocabulary": [model.vocabulary[index] for index in kept],
        "left_out": len(model.vocabulary) - len(kept),
        "given_topic": _packed(model.topic_word[:, kept]),
        "word_shares": _packed(word_shares(model)[kept]),
        "distinctiveness": _packed(distinctiveness(model)[kept]),
        "topic_shares": topic_shares(model),
        "expected_words": float(model.topic_word_counts.sum()),
        "seeded": _seeded(view, position),
        "passages": [_passage(view, at) for at in carried],
        "read": len(view.chosen),
        "plane_shows": shown,
        "picked": view.picked,
        "by_number": view.config.topic is not None,
        "words": list(view.config.words),
        "line_before": _line_before(view),
        "file": view.file,
    }


def _kept_words(view: TopicView) -> np.ndarray:
    """Numbers of the words that the page knows, in the vocabulary's order: all of them, or the most frequent."""
    room = max(LARGEST_MATRIX // view.model.count, 1)
    if len(view.model.vocabulary) <= room:
        return np.arange(len(view.model.vocabulary))
    frequent = np.argsort(-word_shares(view.model), kind="stable")[:room]
    listed = [most_relevant(view.model, weight, SHOWN_WORDS).ravel() for weight in WEIGHTS]
    sure = np.argsort(-view.model.topic_word, axis=1, kind="stable")[:, :SURE_WORDS].ravel()
    return np.unique(np.concatenate([frequent, sure, *listed]))


def _seeded(view: TopicView, position: np.ndarray) -> dict[int, float]:
    """What the prior of seed words adds to their occurrences, by a word's place in the page's vocabulary."""
    words, counts = seeded_counts(view.model, view.config)
    return {
        int(position[word]): float(count)
        for word, count in zip(words, counts, strict=True)
        if position[word] >= 0
    }


def _typical_passages(view: TopicView, topic: int) -> list[int]:
    """Places in `view.chosen` of the passages that hold most of the topic, few of one document."""
    taken: dict[int, int] = {}
    found: list[int] = []
    for at in np.argsort(-view.weights[:, topic], kind="stable"):
        document = view.chosen[at].document
        if taken.get(document, 0) < PER_DOCUMENT:
            taken[document] = taken.get(document, 0) + 1
            found.append(int(at))
        if len(found) == TYPICAL_PASSAGES:
            break
    return found


def _typical_documents(view: TopicView, topic: int) -> list[dict[str, Any]]:
    """The documents whose passages hold most of the topic on average."""
    document_of = np.array([passage.document for passage in view.chosen])
    documents, inverse, counts = np.unique(document_of, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=view.weights[:, topic]) / counts
    best = np.argsort(-means, kind="stable")[:TYPICAL_DOCUMENTS]
    return [
        {"title": _title(view, documents[at]), "weight": means[at], "passages": counts[at]} for at in best
    ]


def _passage(view: TopicView, at: int) -> dict[str, Any]:
    passage = view.chosen[at]
    return {"title": _title(view, passage.document), "position": passage.position, "text": passage.text}


def _title(view: TopicView, document: int) -> str:
    found = view.passages.documents[document]
    return (found.title or found.id) + (f", {found.author}" if found.author else "")


def _line(view: TopicView, topic: int) -> str:
    """What starts from the topic: a section where there is a configuration, else a whole one."""
    return config_text({"topics": view.topics_tree(topic)} if view.file else view.tree(topic))


def _line_before(view: TopicView) -> list[str]:
    """What stands before and after the words, in lines that pick a topic by words."""
    mark = "WORDS-GO-HERE"
    before, _, after = config_text(
        {"topics": view.topics_tree(None, [mark])} if view.file else view.tree(None, [mark])
    ).partition(mark)
    return [before, after]


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()
