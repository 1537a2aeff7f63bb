"""The name of a concept is a phrase of its members, chosen by meaning and not by frequency alone."""

from __future__ import annotations

import numpy as np

from agent.basin.naming import concept_name

MEMBERS = ["The night train reached the harbour station before the other engine."] * 12
OTHERS = ["The market sold apples and cheese to every other farmer before noon."] * 20
TEXTS = MEMBERS + OTHERS
MEMBERSHIP = np.repeat([0.9, 0.1], [12, 20])


def embed(texts):
    """Meaning: how much of a text is about railways, how much about food; anything else is neutral."""
    about = {"train": (1, 0), "station": (0.8, 0.3), "apples": (0, 1)}
    found = [
        sum((np.array(about[w]) for w in about if w in text.split()), np.array([0.1, 0.1])) for text in texts
    ]
    return np.array(found, dtype=float)


def test_the_name_is_the_members_phrase_of_the_nearest_meaning():
    embeddings = np.repeat([[1.0, 0.0], [0.0, 1.0]], [12, 20], axis=0)
    assert concept_name(MEMBERSHIP, TEXTS, embeddings, embed, "en") in ("train", "night train")
    assert concept_name(1 - MEMBERSHIP, TEXTS, embeddings, embed, "en").endswith("apples")


def test_of_a_large_corpus_a_part_is_read(monkeypatch):
    monkeypatch.setattr("agent.basin.naming.MOST_PASSAGES", 16)
    embeddings = np.repeat([[1.0, 0.0], [0.0, 1.0]], [12, 20], axis=0)
    assert concept_name(MEMBERSHIP, TEXTS, embeddings, embed, "en") in ("train", "night train")


def test_without_a_boundary_or_a_shared_phrase_there_is_no_name():
    embeddings = np.ones((len(TEXTS), 2))
    assert concept_name(np.ones(len(TEXTS)), TEXTS, embeddings, embed, "en") is None
    assert concept_name(MEMBERSHIP, ["the and of"] * len(TEXTS), embeddings, embed, "en") is None
