"""Every rival finds a planted direction on documents that it never saw, and the same one twice."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import activations_of

from agent.clustering import document_mean, document_membership
from agent.evidence import Projection
from agent.judging.measure import average_precision
from agent.judging.rivals import RIVALS, SeenTexts, linear_reader

DOCUMENT_OF = np.repeat(np.arange(150), 4)  # with much fewer, the Dirichlet process finds a single Gaussian
GOLD = (np.arange(150) % 4 == 0)[DOCUMENT_OF]
SEEN = DOCUMENT_OF < 100
ACTIVATIONS = activations_of(GOLD, seed=1, strength=6.0)
POINTER = np.random.default_rng(2).normal(size=len(GOLD)) + 1.5 * GOLD - 2.0
BASE_RATE = GOLD[~SEEN].mean()


def seen_texts(size: float = 0.25) -> SeenTexts:
    documents = DOCUMENT_OF[SEEN]
    claims = document_membership(document_mean(POINTER[SEEN], documents), documents, size)
    return SeenTexts(ACTIVATIONS[SEEN], POINTER[SEEN], documents, claims)


def unseen_scores(name: str, seed: int = 0) -> np.ndarray:
    # An uninformative pointer: what is found, is found in the activations.
    return RIVALS[name](seen_texts(), seed)(ACTIVATIONS[~SEEN], np.zeros((~SEEN).sum()))


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "topic"])
def test_a_rival_finds_a_planted_direction_in_unseen_documents(name):
    scores = unseen_scores(name)
    assert scores.shape == ((~SEEN).sum(),) and np.isfinite(scores).all()
    assert average_precision(GOLD[~SEEN], scores) > BASE_RATE + 0.25
    assert np.array_equal(scores, unseen_scores(name))


def test_the_topic_is_the_pointer_itself():
    read = RIVALS["topic"](seen_texts(), 0)
    assert np.array_equal(read(ACTIVATIONS[~SEEN], POINTER[~SEEN]), POINTER[~SEEN])


def test_the_size_is_what_the_pointer_claims():
    assert seen_texts(0.3).size == pytest.approx(0.3, abs=1e-6)


def test_given_the_labels_the_linear_reader_beats_every_rival():
    read = linear_reader(Projection.fit(ACTIVATIONS[SEEN], 150), ACTIVATIONS[SEEN], GOLD[SEEN].astype(float))
    ceiling = average_precision(GOLD[~SEEN], read(ACTIVATIONS[~SEEN], POINTER[~SEEN]))
    assert ceiling > 0.95
    assert ceiling > average_precision(GOLD[~SEEN], unseen_scores("topic-classifier")) - 0.02


def test_labels_that_mean_nothing_teach_nothing_on_the_whole():
    generator, found = np.random.default_rng(8), []
    for _ in range(40):
        read = linear_reader(
            Projection.fit(ACTIVATIONS[SEEN], 150),
            ACTIVATIONS[SEEN],
            generator.permutation(GOLD[SEEN]).astype(float),
        )
        found.append(np.corrcoef(read(ACTIVATIONS[~SEEN], POINTER[~SEEN]), GOLD[~SEEN])[0, 1])
    assert abs(np.mean(found)) < 0.25
