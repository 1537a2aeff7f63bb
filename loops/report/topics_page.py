"""Write the topic browser: a page on which to find the topic that points at a concept.

Map and relevance follow LDAvis (Sievert and Shirley 2014).
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import ClassicalMDS

from agent.pointer.lda import seeded_counts
from agent.pointer.topic_model import SURE_WORDS
from loops.report import page
from loops.report.page import Page, View, fill, write
from loops.report.run_page.passages import limit_per_document
from loops.report.topic_views import TopicView

TYPICAL_PASSAGES = 8
LARGEST_MATRIX = 1_500_000
"""Probabilities in a page; of a larger model the rarest words are left out."""


def write_topics(view: TopicView, file: Path | None) -> tuple[Path, int]:
    """Write the browser, by default beside a run or here, and return its path and size in bytes.

    Raises:
        BasinError: the file cannot be written.
    """
    page.obtain()
    path = file or (view.folder / "topics.html" if view.folder else Path(f"topics-{view.name}.html"))
    return path, write(topics_page(view), path)


def topics_page(view: TopicView) -> Page:
    """The page of the topic browser."""
    data = browser_data(view)
    return Page(
        title=f"Topics of {view.name}",
        views=[View("find", "Find a topic", fill("topics_find.html", data=data, sure=SURE_WORDS))],
        lead=fill("topics_lead.html", data=data, description=view.passages.description),
        data=data,
        scripts=("topics.js", "topics_words.js"),
        styles=("topics.css",),
        foot="Made by Basin. This file contains texts of the corpus and needs no network.",
    )


def browser_data(view: TopicView) -> dict[str, Any]:
    """Numbers, words and passages of all topics, and configurations that start from them."""
    model, counts = view.model, view.model.topic_word_counts
    words = _shown_words(view)
    position = np.full(len(model.vocabulary), -1)
    position[words] = np.arange(len(words))
    seeds = zip(*seeded_counts(model, view.config.topics), strict=True)
    plane, shown = places(distances(model.topic_word))
    before, _, after = view.lines(None, ["WORDS-GO-HERE"]).partition("WORDS-GO-HERE")
    return {
        "name": view.name,
        "topics": [
            {
                "number": topic,
                "words": model.top_words(topic),
                "share": view.weights[:, topic].mean(),
                "x": plane[topic, 0],
                "y": plane[topic, 1],
                "sure": position[np.argsort(-model.topic_word[topic], kind="stable")[:SURE_WORDS]],
                "passages": _typical_passages(view, topic),
                "line": view.lines(topic),
            }
            for topic in range(model.count)
        ],
        "vocabulary": [model.vocabulary[index] for index in words],
        "left_out": len(model.vocabulary) - len(words),
        "given_topic": _pack(model.topic_word[:, words]),
        "word_shares": _pack(counts.sum(axis=0)[words] / counts.sum()),
        "topic_shares": counts.sum(axis=1) / counts.sum(),
        "expected_words": float(counts.sum()),
        "seeded": {int(position[word]): float(count) for word, count in seeds if position[word] >= 0},
        "read": len(view.chosen),
        "plane_shows": shown,
        "picked": view.picked,
        "by_number": view.config.topics.topic is not None,
        "words": list(view.words),
        "line_before": [before, after],
        "file": view.file,
    }


def distances(topic_word: Float[np.ndarray, "topic word"]) -> Float[np.ndarray, "topic topic"]:
    """Jensen-Shannon distances between topics: square root of the divergence in bits, in [0, 1].

    0 for equal topics, 1 without a common word. The square root is a Euclidean metric (Endres and
    Schindelin 2003), so classical scaling has no negative eigenvalues.
    """
    divergent = np.nan_to_num(pdist(topic_word, "jensenshannon"))  # rounding below zero gives NaN
    apart: Float[np.ndarray, "topic topic"] = squareform(np.minimum(divergent / np.sqrt(np.log(2)), 1.0))
    return apart


def places(apart: Float[np.ndarray, "topic topic"]) -> tuple[Float[np.ndarray, "topic axis"], float]:
    """Topics in a plane by classical scaling, and the share of squared distances shown.

    On each axis the outermost topic is on the positive side.
    """
    axes = min(2, len(apart) - 1)
    scaled = ClassicalMDS(n_components=axes, metric="precomputed").fit(apart)
    found = np.zeros((len(apart), 2))
    found[:, :axes] = scaled.embedding_
    furthest = np.abs(found).argmax(axis=0)
    found *= np.where(found[furthest, [0, 1]] < 0, -1, 1)
    whole, shown = (apart**2).sum(), (squareform(pdist(found)) ** 2).sum()
    return found, float(shown / whole) if whole > 0 else 1.0


def _shown_words(view: TopicView) -> Int[np.ndarray, "shown"]:
    """Numbers of the words in the page, rising: all, or the most frequent and the listed ones."""
    model = view.model
    room = max(LARGEST_MATRIX // model.count, 1)
    if len(model.vocabulary) <= room:
        return np.arange(len(model.vocabulary))
    frequent = np.argsort(-model.topic_word_counts.sum(axis=0), kind="stable")[:room]
    sure = np.argsort(-model.topic_word, axis=1, kind="stable")[:, :SURE_WORDS]
    return np.unique(np.concatenate([frequent, sure.ravel()]))


def _typical_passages(view: TopicView, topic: int) -> list[dict[str, Any]]:
    """The passages with the largest weights of the topic, at most two of a document."""
    ranked = view.typical(topic)
    document_of = np.array([passage.document for passage in view.chosen])
    found = []
    for at in limit_per_document(document_of, ranked, TYPICAL_PASSAGES):
        passage = view.chosen[at]
        document = view.passages.documents[passage.document]
        title = (document.title or document.id) + (f", {document.author}" if document.author else "")
        weight = view.weights[at, topic]
        found.append({"title": title, "position": passage.position, "text": passage.text, "weight": weight})
    return found


def _pack(array: Float[np.ndarray, "*any"]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()
