"""Every rival finds a planted direction on documents that it never saw, and the same one twice."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import activations_of
from sklearn.metrics import brier_score_loss

from agent.judging.average_precision import average_precision
from agent.judging.rivals import RIVALS, SeenTexts, linear_reader
from agent.membership.documents import document_mean, document_membership
from agent.membership.log_odds import sigmoid, threshold
from agent.membership.projection import Projection

DOCUMENT_OF = np.repeat(np.arange(150), 4)
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


@pytest.mark.parametrize("name", [name for name in RIVALS if name not in ("topic", "pointer")])
def test_a_rival_finds_a_planted_direction_in_unseen_documents(name):
    scores = unseen_scores(name)
    assert scores.shape == ((~SEEN).sum(),) and np.isfinite(scores).all()
    assert average_precision(GOLD[~SEEN], scores) > BASE_RATE + 0.25
    assert np.array_equal(scores, unseen_scores(name))


@pytest.mark.parametrize("name", ["topic", "pointer"])
def test_topic_and_pointer_are_read_as_they_are(name):
    read = RIVALS[name](seen_texts(), 0)
    assert np.array_equal(read(ACTIVATIONS[~SEEN], POINTER[~SEEN]), POINTER[~SEEN])


def test_the_linear_reader_gives_log_odds():
    labels = GOLD[SEEN].astype(float)
    read = linear_reader(Projection.fit(ACTIVATIONS[SEEN], 150), ACTIVATIONS[SEEN], labels)
    seen, unseen = (read(ACTIVATIONS[part], POINTER[part]) for part in (SEEN, ~SEEN))
    probability = sigmoid(unseen - threshold(seen, labels.mean()))
    assert brier_score_loss(GOLD[~SEEN], probability) < 0.05
    assert probability.mean() == pytest.approx(GOLD[~SEEN].mean(), abs=0.05)


def test_constant_labels_give_a_constant_reading():
    read = linear_reader(Projection.fit(ACTIVATIONS[SEEN], 150), ACTIVATIONS[SEEN], np.ones(SEEN.sum()))
    assert np.ptp(read(ACTIVATIONS[~SEEN], POINTER[~SEEN])) == 0
