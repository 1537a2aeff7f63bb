"""Planted topics: places, relevant words and coherence."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from agent.pointer.topic_model import TopicModel
from loops.report.topic_map import (
    coherences,
    distances,
    exclusivity,
    most_relevant,
    places,
    relevance,
    topic_shares,
    word_shares,
)

VOCABULARY = ("murder", "police", "clue", "sea", "ship", "sail", "said", "time")
COUNTS = np.array([[40, 20, 10, 0, 0, 0, 20, 10], [0, 0, 0, 60, 30, 30, 60, 20]], dtype=float)
MODEL = TopicModel(VOCABULARY, COUNTS, np.array([0.5, 0.5]), 0)


def test_topics_without_a_common_word_are_one_apart_and_equal_ones_nothing():
    apart = distances(np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0]]))
    assert apart == pytest.approx(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]), abs=1e-7)
    # half of the words shared: the divergence is half a bit
    assert distances(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]]))[0, 1] == pytest.approx(np.sqrt(0.5))


def test_a_plane_of_three_topics_keeps_every_distance():
    apart = distances(np.random.default_rng(0).dirichlet(np.ones(30), 3))
    found, shown = places(apart)
    assert squareform(pdist(found)) == pytest.approx(apart) and shown == pytest.approx(1)
    assert found.var(axis=0)[0] >= found.var(axis=0)[1] and (found.max(axis=0) >= -found.min(axis=0)).all()


def test_a_plane_of_many_topics_says_how_much_it_shows():
    apart = distances(np.eye(8))  # a simplex: seven equal axes, of which a plane shows two
    found, shown = places(apart)
    assert found.shape == (8, 2) and shown == pytest.approx(2 / 7)


def test_two_topics_lie_on_a_line_and_equal_ones_on_a_point():
    line = places(np.array([[0.0, 0.6], [0.6, 0.0]]))[0]
    assert np.abs(line) == pytest.approx(np.array([[0.3, 0], [0.3, 0]]))
    assert line[:, 0].sum() == pytest.approx(0)
    found, shown = places(np.zeros((3, 3)))
    assert found == pytest.approx(np.zeros((3, 2)), abs=1e-7) and shown == 1.0


def test_shares_are_of_the_words():
    assert topic_shares(MODEL) == pytest.approx([1 / 3, 2 / 3])
    assert word_shares(MODEL)[6] == pytest.approx(80 / 300) and word_shares(MODEL).sum() == pytest.approx(1)


def test_relevance_goes_from_probable_to_peculiar():
    def names(weight, count):
        return [[VOCABULARY[index] for index in row] for row in most_relevant(MODEL, weight, count)]

    assert names(1.0, 4) == [["murder", "police", "said", "clue"], ["sea", "said", "ship", "sail"]]
    # All are equally peculiar: in the vocabulary's order.
    assert names(0.0, 3) == [["murder", "police", "clue"], ["sea", "ship", "sail"]]
    p, corpus = 0.4, 40 / 300
    assert relevance(MODEL, 0.6)[0, 0] == pytest.approx(0.6 * np.log(p) + 0.4 * np.log(p / corpus))
    assert relevance(MODEL, 0.6)[0, 3] == -np.inf


def test_exclusivity_is_the_mean_share_of_the_top_words():
    assert exclusivity(MODEL, 3) == pytest.approx([(1 + 1 + 20 / 80) / 3, (1 + 60 / 80 + 1) / 3])


def test_co_occurring_words_are_coherent_and_shuffled_ones_are_not():
    generator = np.random.default_rng(0)
    crime, sea = [f"crime{letter}" for letter in "abcdefghij"], [f"water{letter}" for letter in "abcdefghij"]
    texts = [" ".join(generator.choice(words, 30)) for words in (crime, sea) for _ in range(40)]
    counts = np.zeros((3, 20))
    counts[0, :10], counts[1, 10:], counts[2, ::2] = 5, 5, 5
    model = TopicModel((*crime, *sea), counts + 0.01, np.ones(3), 0)
    found = coherences(model, texts)
    assert found[:2].min() > 0.2 > -0.2 > found[2]


def test_words_that_no_text_has_are_no_error():
    model = TopicModel(("absent", "missing", "clue", "police"), np.ones((2, 4)), np.ones(2), 0)
    assert len(coherences(model, ["clue police clue", "police clue police"])) == 2
