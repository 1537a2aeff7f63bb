"""The pointer, on corpora whose topics are known because every block of words has documents of its own."""

from __future__ import annotations

import re
from string import ascii_lowercase

import numpy as np
import pytest

from agent.corpora.words import name_like_words, words_of
from agent.errors import BasinError
from agent.pointer.lda import (
    Pointer,
    PointerReading,
    TopicModel,
    TopicsConfig,
    fit,
    pick,
    seeded_counts,
)
from agent.types import Document

BLOCKS = {theme: [theme + letter for letter in ascii_lowercase[:10]] for theme in ("crime", "ocean", "field")}
THEMES = list(BLOCKS)
CONFIG = TopicsConfig(count=3, chunk_words=100, passes=10, minimum_chunks=2)


def block_text(theme: str, generator: np.random.Generator, words: int = 120) -> str:
    return " ".join(generator.choice(BLOCKS[theme], words)) + "."


def block_documents(count: int = 18) -> list[Document]:
    """Documents that take turns in the three themes, and use no word of another."""
    generator = np.random.default_rng(0)
    return [Document(f"d{at}", block_text(THEMES[at % 3], generator)) for at in range(count)]


@pytest.fixture(scope="module")
def model():
    return fit(block_documents(), CONFIG, run_seed=0)


def theme_topic(model, theme: str) -> int:
    return pick(model, CONFIG.model_copy(update={"words": tuple(BLOCKS[theme])})).topic


def test_the_blocks_are_recovered(model):
    found = {frozenset(model.top_words(topic, 10)) for topic in range(3)}
    assert found == {frozenset(words) for words in BLOCKS.values()}
    assert model.topic_word.sum(axis=1) == pytest.approx(1)
    for theme, words in BLOCKS.items():
        assert model.mass_on(words)[theme_topic(model, theme)] > 0.95


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


def test_a_fit_is_a_function_of_its_seed(model):
    again = fit(block_documents(), CONFIG, run_seed=0)
    assert again.vocabulary == model.vocabulary
    assert np.array_equal(again.topic_word_counts, model.topic_word_counts)
    assert np.array_equal(again.alpha, model.alpha)
    other = fit(block_documents(), CONFIG, run_seed=1)
    assert not np.array_equal(other.topic_word_counts, model.topic_word_counts)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("theme", THEMES)
def test_the_seeded_topic_holds_its_words_whatever_the_seed(theme, seed):
    seeds = BLOCKS[theme][2:6]
    config = CONFIG.model_copy(update={"seed_words": tuple(seeds)})
    pointer = pick(fit(block_documents(), config, run_seed=seed), config)
    assert pointer.topic == 0
    assert set(pointer.model.top_words(0, 4)) == set(seeds)
    assert pointer.model.mass_on(seeds).argmax() == 0
    assert pointer.weights([" ".join(seeds * 3)])[0] > 0.8


def test_what_the_prior_gave_to_seed_words_is_told_from_what_occurred():
    seeds = BLOCKS[next(iter(THEMES))][2:6]
    config = CONFIG.model_copy(update={"seed_words": tuple(seeds)})
    model = fit(block_documents(), config, 0)
    words, counts = seeded_counts(model, config)
    assert {model.vocabulary[word] for word in words} == set(seeds)
    occurred = {word: sum(words_of(each.text).count(word) for each in block_documents()) for word in seeds}
    left = model.topic_word_counts[:, words].sum(axis=0) - counts
    np.testing.assert_allclose(left, [occurred[model.vocabulary[word]] + 1 for word in words], rtol=0.02)
    assert seeded_counts(model, CONFIG)[0].size == 0


def test_of_several_fits_the_one_whose_topic_holds_most_of_the_words_is_kept():
    words = ("crimea", "oceana")  # of two blocks, so that fits differ in how much one topic holds
    config = CONFIG.model_copy(update={"words": words, "count": 2, "passes": 1})
    masses = [
        fit(block_documents(), config.model_copy(update={"restarts": restarts}), 0).mass_on(words).max()
        for restarts in (1, 2, 3, 4)
    ]
    assert masses == sorted(masses) and masses[0] < masses[-1]


def test_a_topic_picked_by_number_is_the_one_whose_hold_on_the_words_decides():
    config = CONFIG.model_copy(update={"words": tuple(BLOCKS["crime"]), "topic": 0})
    masses = [
        fit(block_documents(), config.model_copy(update={"restarts": restarts}), 0).mass_on(config.words)[0]
        for restarts in (1, 2, 3, 4)
    ]
    assert masses == sorted(masses) and masses[0] < 0.5 < 0.9 < masses[-1]


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


def test_unknown_words_are_named(model):
    with pytest.raises(BasinError, match="unheard, unseen"):
        pick(model, CONFIG.model_copy(update={"words": ("unheard", "unseen")}))
    with pytest.raises(BasinError, match=r"seed_words \(unheard\)"):
        fit(block_documents(), CONFIG.model_copy(update={"seed_words": ("unheard",)}), 0)


def test_a_configuration_that_chooses_no_topic_is_refused(model):
    with pytest.raises(BasinError, match="No topic is chosen"):
        pick(model, CONFIG)


def test_too_few_words_for_the_topics_are_counted():
    documents = [Document(f"d{at}", "crimea crimeb oceana. " * 40) for at in range(4)]
    config = CONFIG.model_copy(update={"maximum_chunk_share": 1.0})
    with pytest.raises(BasinError, match="Only 3 words .* too few for 3 topics"):
        fit(documents, config, 0)
    with pytest.raises(BasinError, match="Only 0 words"):
        fit([Document("a", "It was he."), Document("b", "")], config, 0)


def test_names_are_told_by_capitals_inside_sentences():
    texts = [
        "Then Watson spoke. Watson’s hat fell; the lamp and Watson stood. “Lamp oil,” said he.",
        "Evening came. Evening went. A Lamp is the lamp. The Sea, the sea, the SEA!",
    ]
    assert name_like_words(texts, 0.5) == {"watson", "sea"}
    assert name_like_words(texts, 0.7) == {"watson"}


def test_names_do_not_enter_the_vocabulary():
    documents = [
        Document(each.id, re.sub("crimea", "Crimea", each.text).replace("oceana", "Holmes"))
        for each in block_documents()
    ]
    vocabulary = fit(documents, CONFIG, run_seed=0).vocabulary
    assert {"crimeb", "oceanb"} <= set(vocabulary)
    assert set(vocabulary).isdisjoint({"crimea", "Crimea", "holmes", "Holmes"})


def test_words_are_lower_case_without_stop_words_endings_and_short_ones():
    assert words_of("The Detective’s dog's bone didn't go to 2 oxen, a-hunting!") == [
        *("detective", "dog", "bone", "oxen", "hunting"),
    ]


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
    assert pointer.presence(texts, np.arange(8)) == pytest.approx(2 / 8)
    # Passages of one document count together.
    assert pointer.presence(texts, np.arange(8) // 2) == pytest.approx(2 / 4)


def test_breadth_is_the_share_of_documents_that_a_topic_is_spread_over():
    document_of = np.repeat(np.arange(4), 2)
    words = np.full(8, 10.0)
    even = PointerReading(np.full(8, 0.1), np.full(8, 1.0), words)
    assert even.document_spread(document_of) == pytest.approx(1)
    two = PointerReading(np.full(8, 0.1), np.array([1.0, 3, 2, 2, 0, 0, 0, 0]), words)
    assert two.document_spread(document_of) == pytest.approx(0.5)
    # A rate, not a count: longer documents do not hold more of the topic.
    longer = PointerReading(
        np.full(8, 0.1), np.array([1.0, 1, 1, 1, 1, 1, 5, 5]), words * [1, 1, 1, 1, 1, 1, 5, 5]
    )
    assert longer.document_spread(document_of) == pytest.approx(1)
    assert PointerReading(words, np.zeros(8), words).document_spread(document_of) == 1
    assert two.of(document_of < 2).document_spread(document_of[:4]) == pytest.approx(1)


def test_a_topic_that_hardly_holds_the_words_it_was_picked_by_is_doubted():
    vocabulary = tuple(f"word{number}" for number in range(60))
    counts = np.stack([np.arange(60.0, 0, -1), np.ones(60)])  # topic 0 falls from word0 to word59
    pointer = Pointer(TopicModel(vocabulary, counts, np.ones(2), seed=0), 0)
    words = ("Word0", "word49", "word50", "nowhere")
    assert pointer.holds(words) == ["Word0", "word49"]
    assert pointer.doubt(words) is None and pointer.doubt(()) is None
    doubt = pointer.doubt((*words, *("word51", "word52", "word53")))
    assert "Only 2 of the 7 words" in doubt and "topics.seed_words" in doubt
