"""LDA on planted topics, from memory and from a stream."""

from __future__ import annotations

import random
import re
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from planted_topics import BLOCKS, CONFIG, THEMES, block_documents, theme_topic

from agent.corpora.words import words_of
from agent.errors import BasinError
from agent.pointer import lda
from agent.pointer.lda import fit, fit_stream, seeded_counts
from agent.pointer.topic_model import TopicModel, TopicsConfig, pick
from agent.types import Document


@pytest.fixture(scope="module")
def model() -> TopicModel:
    return fit(block_documents(), CONFIG, run_seed=0)


def test_the_blocks_are_recovered(model):
    found = {frozenset(model.top_words(topic, 10)) for topic in range(3)}
    assert found == {frozenset(words) for words in BLOCKS.values()}
    assert model.topic_word.sum(axis=1) == pytest.approx(1)
    for theme, words in BLOCKS.items():
        assert model.mass_on(words)[theme_topic(model, theme)] > 0.95


def test_a_fit_is_a_function_of_its_seed(model):
    again = fit(block_documents(), CONFIG, run_seed=0)
    assert again.vocabulary == model.vocabulary
    assert np.array_equal(again.topic_word_counts, model.topic_word_counts)
    assert np.array_equal(again.alpha, model.alpha)
    other = fit(block_documents(), CONFIG, run_seed=1)
    assert not np.array_equal(other.topic_word_counts, model.topic_word_counts)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("theme", THEMES)
def test_the_seeded_topic_holds_its_words_for_every_seed(theme, seed):
    seeds = BLOCKS[theme][2:6]
    config = CONFIG.model_copy(update={"seed_words": tuple(seeds)})
    pointer = pick(fit(block_documents(), config, run_seed=seed), config)
    assert pointer.topic == 0
    assert set(pointer.model.top_words(0, 4)) == set(seeds)
    assert pointer.model.mass_on(seeds).argmax() == 0
    assert pointer.weights([" ".join(seeds * 3)])[0] > 0.8


def test_prior_counts_of_seed_words_are_separated_from_occurrences():
    seeds = BLOCKS[next(iter(THEMES))][2:6]
    config = CONFIG.model_copy(update={"seed_words": tuple(seeds)})
    model = fit(block_documents(), config, 0)
    words, counts = seeded_counts(model, config)
    assert {model.vocabulary[word] for word in words} == set(seeds)
    occurred = {word: sum(words_of(each.text).count(word) for each in block_documents()) for word in seeds}
    left = model.topic_word_counts[:, words].sum(axis=0) - counts
    np.testing.assert_allclose(left, [occurred[model.vocabulary[word]] + 1 for word in words], rtol=0.02)
    assert seeded_counts(model, CONFIG)[0].size == 0


@pytest.mark.parametrize(
    "settings",
    [
        # Words of two blocks, so that fits differ in how much one topic holds.
        {"words": ("crimea", "oceana"), "count": 2, "passes": 1},
        {"words": tuple(BLOCKS["crime"]), "topic": 0},
    ],
)
def test_the_best_of_several_restarts_is_returned(settings: dict) -> None:
    masses = []
    for restarts in (1, 2, 3, 4):
        config = CONFIG.model_copy(update={**settings, "restarts": restarts})
        found = fit(block_documents(), config, 0)
        masses.append(found.mass_on(config.words)[pick(found, config).topic])
    assert masses == sorted(masses) and masses[0] < masses[-1]


def test_unknown_words_are_named(model):
    with pytest.raises(BasinError, match="unheard, unseen"):
        pick(model, CONFIG.model_copy(update={"words": ("unheard", "unseen")}))
    with pytest.raises(BasinError, match=r"seed_words \(unheard\)"):
        fit(block_documents(), CONFIG.model_copy(update={"seed_words": ("unheard",)}), 0)


def test_too_few_words_for_the_topics_are_counted():
    documents = [Document(f"d{at}", "crimea crimeb oceana. " * 40) for at in range(4)]
    config = CONFIG.model_copy(update={"maximum_chunk_share": 1.0})
    with pytest.raises(BasinError, match="Only 3 words .* too few for 3 topics"):
        fit(documents, config, 0)
    with pytest.raises(BasinError, match="All but 0 of the corpus.s words are stop words"):
        fit([Document("a", "It was he."), Document("b", "")], config, 0)


def test_names_do_not_enter_the_vocabulary():
    documents = [
        Document(each.id, re.sub("crimea", "Crimea", each.text).replace("oceana", "Holmes"))
        for each in block_documents()
    ]
    vocabulary = fit(documents, CONFIG, run_seed=0).vocabulary
    assert {"crimeb", "oceanb"} <= set(vocabulary)
    assert set(vocabulary).isdisjoint({"crimea", "Crimea", "holmes", "Holmes"})


STREAM = TopicsConfig(count=3, chunk_words=60, passes=3, minimum_chunks=2)


def texts(count: int = 24) -> list[str]:
    chance, words = random.Random(3), list(BLOCKS.values())
    return [f"He met Holmes {' '.join(chance.choices(words[at % 3], k=130))}. Then." for at in range(count)]


@pytest.mark.parametrize("limits", [{}, {"BATCH_CHUNKS": 10, "ONLINE_CHUNKS": 8}])
def test_a_stream_gives_the_fit_in_memory_to_the_bit(
    limits: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(lda, name, value)
    whole = fit([Document(f"d{at}", text) for at, text in enumerate(texts())], STREAM, 5)
    streamed = fit_stream(lambda: iter(texts()), STREAM, 5, tmp_path / "scratch")
    assert streamed.vocabulary == whole.vocabulary and "holmes" not in streamed.vocabulary
    assert np.array_equal(streamed.topic_word_counts, whole.topic_word_counts)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_stream_holds_one_text_at_a_time(tmp_path: Path) -> None:
    class Text(str):
        __slots__ = ("__weakref__",)

    alive: list[weakref.ref] = []
    most = 0

    def read() -> Iterator[str]:
        nonlocal most
        for text in texts():
            text = Text(text)
            alive.append(weakref.ref(text))
            most = max(most, sum(each() is not None for each in alive))
            yield text

    fit_stream(read, STREAM, 5, tmp_path)
    assert len(alive) == 2 * len(texts()) and most <= 2


def test_rare_words_are_dropped_while_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_stream(texts, STREAM, 5, tmp_path)
    monkeypatch.setattr(lda, "MOST_WORDS", 100)
    pairs = [f"{one}{two}" for one in "xyz" for two in "xyz"]
    noisy = [
        f"{text} {' '.join(f'rare{letter}{pair}' for pair in pairs)}"
        for letter, text in zip("abcdefghijklmnopqrstuvwx", texts(), strict=True)
    ]
    found = fit_stream(lambda: noisy, STREAM.model_copy(update={"minimum_chunks": 4}), 5, tmp_path)
    assert set(found.vocabulary) == set(whole.vocabulary)


def test_a_stream_that_fails_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BasinError, match="Only 0 words occur in at least 2 of the 1 text chunks"):
        fit_stream(lambda: ["One short text."], STREAM, 5, tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BasinError, match="make room there"):
        fit_stream(texts, STREAM, 5, tmp_path / "file" / "below")
    passes = 0

    def damaged() -> Iterator[str]:
        nonlocal passes
        passes += 1
        yield from texts()
        if passes == 2:
            raise BasinError("The second reading fails.")

    with pytest.raises(BasinError, match="second reading"):
        fit_stream(damaged, STREAM, 5, tmp_path)


@pytest.mark.parametrize(
    ("text", "changes", "remedy"),
    [
        ("it was the of and that he for with as his they", {}, "set topics.language"),
        (
            "we Saw Anna Berta Clara Doris Edith here and lots of small plain words too",
            {"name_share": 0.1},
            "name_share",
        ),
        ("crimea crimeb crimec crimed oceana oceanb oceanc oceand", {}, "raise topics.maximum_chunk_share"),
    ],
)
def test_the_filter_that_leaves_too_few_words_is_named_with_its_setting(text, changes, remedy) -> None:
    documents = [Document(f"d{at}", f"{text}. " * 20) for at in range(4)]
    config = CONFIG.model_copy(
        update={"count": 3, "minimum_chunks": 2, "maximum_chunk_share": 0.5, **changes}
    )
    with pytest.raises(BasinError, match=remedy):
        fit(documents, config, 0)


def test_capitals_of_a_whole_text_are_no_names() -> None:
    shouted = [Document(each.id, each.text.upper()) for each in block_documents()]
    plain, loud = (fit(each, CONFIG, 0).vocabulary for each in (block_documents(), shouted))
    assert plain == loud
