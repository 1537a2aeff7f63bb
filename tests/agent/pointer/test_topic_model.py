"""Topic weights of texts, picking a topic, and statistics of a pointer."""

from __future__ import annotations

import numpy as np
import pytest
from planted_topics import CONFIG, THEMES, block_documents, block_text, theme_topic

from agent.errors import BasinError
from agent.pointer.lda import fit
from agent.pointer.topic_model import Pointer, PointerReading, TopicModel, pick


@pytest.fixture(scope="module")
def model() -> TopicModel:
    return fit(block_documents(), CONFIG, run_seed=0)


def test_a_text_gets_the_topic_of_its_block_and_a_mixed_one_both(model):
    texts = ["crimea crimeb crimec " * 10, "oceana oceanb " * 10, "crimea oceana " * 20, "Nothing known."]
    weights = model.infer(texts)
    crime, ocean = theme_topic(model, "crime"), theme_topic(model, "ocean")
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[0, crime] > 0.9 and weights[1, ocean] > 0.9
    assert weights[2, [crime, ocean]] == pytest.approx(0.5, abs=0.1)
    assert weights[3] == pytest.approx(model.alpha / model.alpha.sum(), rel=1e-3)


def test_inference_does_not_depend_on_batch_or_order(model):
    generator = np.random.default_rng(1)
    texts = [block_text(THEMES[at % 3], generator, 5) + " crimea oceana" for at in range(7)]
    together = model.infer(texts)
    assert np.array_equal(model.infer(texts[::-1])[::-1], together)
    assert np.array_equal(np.concatenate([model.infer([text]) for text in texts]), together)


def test_picking_by_number_and_by_words(model):
    assert pick(model, CONFIG.model_copy(update={"topic": 2})).topic == 2
    # The number goes before the words.
    both = CONFIG.model_copy(update={"topic": 1, "words": ("crimea",), "seed_words": ("crimea",)})
    assert pick(model, both).topic == 1
    by_words = pick(model, CONFIG.model_copy(update={"words": ("OceanA", "unheard")}))
    assert "oceana" in model.top_words(by_words.topic, 10)


@pytest.mark.parametrize("number", [-1, 3])
def test_an_unknown_topic_is_named_with_those_there_are(model, number):
    with pytest.raises(BasinError, match=f"no topic {number}; .* 0 to 2"):
        pick(model, CONFIG.model_copy(update={"topic": number}))


def test_a_configuration_that_chooses_no_topic_is_refused(model):
    with pytest.raises(BasinError, match="No topic is chosen"):
        pick(model, CONFIG)


def test_presence_is_the_share_of_documents_with_a_word_of_the_topic(model):
    pointer = Pointer(model, theme_topic(model, "crime"))
    filler = "oceanb oceanc " * 30
    texts = [
        filler,
        filler + "crimea crimeb crimec",
        filler,
        filler,
        "crimea " * 9,
        filler,
        "Unknown.",
        filler,
    ]
    assert pointer.read(texts).presence(np.arange(8)) == pytest.approx(2 / 8)
    # Passages of one document count together.
    assert pointer.read(texts).presence(np.arange(8) // 2) == pytest.approx(2 / 4)


def test_document_spread_is_the_share_of_documents_that_a_topic_is_spread_over():
    document_of = np.repeat(np.arange(4), 2)
    words = np.full(8, 10.0)
    even = PointerReading(np.full(8, 0.1), np.full(8, 1.0), words)
    assert even.document_spread(document_of) == pytest.approx(1)
    two = PointerReading(np.full(8, 0.1), np.array([1.0, 3, 2, 2, 0, 0, 0, 0]), words)
    assert two.document_spread(document_of) == pytest.approx(0.5)
    # A rate, not a count: longer documents do not hold more of the topic.
    lengths = np.array([1.0, 1, 1, 1, 1, 1, 5, 5])
    longer = PointerReading(np.full(8, 0.1), lengths, words * lengths)
    assert longer.document_spread(document_of) == pytest.approx(1)
    assert PointerReading(words, np.zeros(8), words).document_spread(document_of) == 1
    assert two.of(document_of < 2).document_spread(document_of[:4]) == pytest.approx(1)


def test_a_topic_that_holds_few_of_its_words_is_doubted():
    vocabulary = tuple(f"word{number}" for number in range(60))
    counts = np.stack([np.arange(60.0, 0, -1), np.ones(60)])  # topic 0 falls from word0 to word59
    pointer = Pointer(TopicModel(vocabulary, counts, np.ones(2), seed=0), 0)
    words = ("Word0", "word49", "word50", "nowhere")
    assert pointer.holds(words) == ["Word0", "word49"]
    assert pointer.doubt(words) is None and pointer.doubt(()) is None
    doubt = pointer.doubt((*words, *("word51", "word52", "word53")))
    assert "Only 2 of the 7 words" in doubt and "topics.seed_words" in doubt
