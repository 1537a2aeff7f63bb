"""LDA over a stream: the same as over texts in memory, without ever holding more of them than one."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.errors import BasinError
from agent.pointer import lda_stream
from agent.pointer.cache import KeptFits
from agent.pointer.lda import TopicsConfig, fit
from agent.pointer.lda_stream import Bags, fit_stream
from agent.types import Document

CONFIG = TopicsConfig(count=3, chunk_words=60, passes=3, minimum_chunks=2)
THEMES = {theme: [theme + letter for letter in "abcdefghij"] for theme in ("crime", "ocean", "field")}


def texts(count: int = 24) -> list[str]:
    chance = random.Random(3)
    words = list(THEMES.values())
    return [f"He met Holmes {' '.join(chance.choices(words[at % 3], k=130))}. Then." for at in range(count)]


def test_it_gives_what_a_fit_in_memory_gives_to_the_bit(tmp_path: Path) -> None:
    documents = [Document(f"d{at}", text) for at, text in enumerate(texts())]
    whole = fit(documents, CONFIG, 5)
    streamed = fit_stream(lambda: iter(texts()), CONFIG, 5, tmp_path / "scratch")
    assert streamed.vocabulary == whole.vocabulary and "holmes" not in streamed.vocabulary
    assert np.array_equal(streamed.topic_word_counts, whole.topic_word_counts)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_online_steps_are_the_same_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.pointer.lda.BATCH_CHUNKS", 10)
    monkeypatch.setattr("agent.pointer.lda.ONLINE_CHUNKS", 8)
    whole = fit([Document(f"d{at}", text) for at, text in enumerate(texts())], CONFIG, 5)
    streamed = fit_stream(lambda: texts(), CONFIG, 5, tmp_path)
    assert np.array_equal(streamed.topic_word_counts, whole.topic_word_counts)


def test_no_text_outlives_its_turn(tmp_path: Path) -> None:
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

    fit_stream(read, CONFIG, 5, tmp_path)
    assert len(alive) == 2 * len(texts()) and most <= 2


def test_words_that_come_once_are_forgotten_and_frequent_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_stream(texts, CONFIG, 5, tmp_path)
    monkeypatch.setattr(lda_stream, "MOST_WORDS", 100)
    pairs = [f"{one}{two}" for one in "xyz" for two in "xyz"]
    noisy = [
        f"{text} {' '.join(f'rare{letter}{pair}' for pair in pairs)}"
        for letter, text in zip("abcdefghijklmnopqrstuvwx", texts(), strict=True)
    ]
    found = fit_stream(lambda: noisy, CONFIG.model_copy(update={"minimum_chunks": 4}), 5, tmp_path)
    assert set(found.vocabulary) == set(whole.vocabulary)


def test_a_fit_that_was_kept_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit_stream(texts, CONFIG, 5, tmp_path, kept=KeptFits(tmp_path))
    monkeypatch.setattr("agent.pointer.lda.LdaInSteps", None)
    again = fit_stream(texts, CONFIG, 5, tmp_path, kept=KeptFits(tmp_path))
    assert np.array_equal(first.topic_word_counts, again.topic_word_counts)


def test_chunks_on_the_disk_are_a_sequence(tmp_path: Path) -> None:
    np.save(tmp_path / "chunks.starts.npy", np.array([0, 2, 2, 3]))
    (tmp_path / "chunks.pairs").write_bytes(np.array([[0, 5], [3, 1], [2, 2]], dtype="<i4").tobytes())
    bags = Bags(tmp_path)
    assert list(bags) == [[(0, 5), (3, 1)], [], [(2, 2)]] and len(bags) == 3
    with pytest.raises(IndexError):
        bags[3]


def test_what_a_user_gets_wrong_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BasinError, match="Only 0 words occur in at least 2 of the 1 text chunks"):
        fit_stream(lambda: ["One short text."], CONFIG, 5, tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BasinError, match="make room there"):
        fit_stream(texts, CONFIG, 5, tmp_path / "file" / "below")
