"""Topic and words: each alone sees half of the concept, and their sum has the topic's scale."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from agent.pointer.word_similarity import TEMPLATES, WordSimilarity

rng = np.random.default_rng(0)
GOLD = rng.random(400) < 0.2
TOPIC = 3 * (rng.normal(size=400) + 1.2 * GOLD) - 5
EMBEDDINGS = rng.normal(size=(400, 20))
EMBEDDINGS[:, 0] += 1.5 * GOLD


def embed(texts):
    assert list(texts) == [each.format("sea, boat") for each in TEMPLATES]
    return np.eye(20)[:1].repeat(len(texts), 0) * 7


@pytest.fixture
def similarity():
    return WordSimilarity.fit(["sea", "boat"], embed, TOPIC, EMBEDDINGS)


def test_the_sum_knows_more_than_either_and_has_the_topics_scale(similarity):
    joined = similarity.joined(TOPIC, EMBEDDINGS)
    both, topic = (average_precision_score(GOLD, each) for each in (joined, TOPIC))
    assert both > topic + 0.1
    assert both > average_precision_score(GOLD, EMBEDDINGS[:, 0]) + 0.1
    assert joined.mean() == pytest.approx(TOPIC.mean()) and joined.std() == pytest.approx(TOPIC.std())


def test_new_texts_are_read_on_the_scale_of_the_real_ones(similarity):
    joined = similarity.joined(TOPIC, EMBEDDINGS)
    assert similarity.joined(TOPIC[:7], 3 * EMBEDDINGS[:7]) == pytest.approx(joined[:7])


def test_a_topic_that_is_the_same_everywhere_leaves_the_words(similarity):
    flat = WordSimilarity.fit(["sea", "boat"], embed, np.full(400, -4.0), EMBEDDINGS)
    joined = flat.joined(np.full(400, -4.0), EMBEDDINGS)
    assert np.corrcoef(joined, EMBEDDINGS[:, 0] / np.linalg.norm(EMBEDDINGS, axis=1))[0, 1] > 0.999
    assert joined.std() == pytest.approx(1.0)
