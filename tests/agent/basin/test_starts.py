"""Starting pointers: every kind is there, named once, and degenerate as much as it says."""

from __future__ import annotations

import numpy as np
import pytest

from agent.basin.starts import Material, StartsConfig, starts

DOCUMENTS, PASSAGES, TOPICS = 40, 2, 4
DOCUMENT_OF = np.repeat(np.arange(DOCUMENTS), PASSAGES)


@pytest.fixture
def material() -> Material:
    weights = np.random.default_rng(0).dirichlet(np.full(TOPICS, 0.5), DOCUMENTS * PASSAGES).clip(0.01, 0.9)
    texts = ["the detective found a clue" if document % 5 == 0 else "a quiet day" for document in DOCUMENT_OF]
    authors = ["Anna"] * 4 + ["Bert"] * 3 + ["Carl"] * 2 + [""] * (DOCUMENTS - 9)
    return Material(weights, 1, DOCUMENT_OF, texts, authors, ["detective", "Clue", "absent"], list("abcd"))


def of_kind(found, kind):
    return [start for start in found if start.kind == kind]


def test_names_are_unique_and_the_topic_comes_first(material):
    found = starts(material, StartsConfig(), 0)
    assert found[0].kind == "topic"
    assert len({start.name for start in found}) == len(found)
    assert all(start.scores.shape == (DOCUMENTS,) and np.isfinite(start.scores).all() for start in found)


def test_mixtures_go_from_the_topic_to_the_decoy(material):
    found = starts(material, StartsConfig(mixtures=(0.0, 0.5), decoys=2), 0)
    mixed, others = of_kind(found, "mixture"), of_kind(found, "other topic")
    assert len(mixed) == 4 and len(others) == 2
    assert np.allclose(mixed[0].scores, found[0].scores)
    assert not np.allclose(mixed[1].scores, found[0].scores)


def test_noise_moves_the_scores_of_as_many_documents_as_it_says(material):
    found = of_kind(starts(material, StartsConfig(noise=(0.25, 1.0), draws=3), 0), "noise")
    topic = material.scores(material.weights[:, 1])
    moved = [int((start.scores != topic).sum()) for start in found]
    assert max(moved[:3]) <= 10 and min(moved[3:]) > 30
    assert not np.allclose(found[0].scores, found[1].scores)


def test_seed_documents_come_from_the_topics_claims(material):
    found = of_kind(starts(material, StartsConfig(documents=(3, 9), draws=2), 0), "documents")
    best = np.argsort(-material.scores(material.weights[:, 1]))[:10]
    assert [int(start.scores.sum()) for start in found] == [3, 3, 9, 9]
    assert all(set(np.flatnonzero(start.scores)) <= set(best) for start in found)


def test_words_and_authors_are_starts(material):
    found = starts(material, StartsConfig(authors=5), 0)
    words = of_kind(found, "word")
    # A word that never occurs is no start.
    assert [start.name for start in words] == ["word detective", "word Clue"]
    assert set(np.flatnonzero(words[0].scores)) == set(range(0, DOCUMENTS, 5))
    authors = of_kind(found, "one author")
    assert [start.name for start in authors] == ["author Anna", "author Bert"]  # two books are too few


def test_the_right_words_in_the_wrong_place_are_not_the_topic(material):
    (start,) = of_kind(starts(material, StartsConfig(), 0), "words without topic")
    assert np.corrcoef(start.scores, material.scores(material.weights[:, 1]))[0, 1] < -0.5
