"""Topic models are fitted once."""

from __future__ import annotations

import numpy as np
import pytest

from agent.pointer import lda
from agent.pointer.lda import FitCache, fit_cached
from agent.pointer.topic_model import TopicsConfig
from agent.types import Document

CONFIG = TopicsConfig(count=2, chunk_words=50, passes=2, minimum_chunks=2, maximum_chunk_share=1.0)


@pytest.fixture
def documents() -> list[Document]:
    words = np.array([f"word{letter}" for letter in "abcdefghijkl"])
    generator = np.random.default_rng(0)
    return [Document(f"{number}", " ".join(generator.choice(words, 120))) for number in range(6)]


@pytest.fixture
def fitted(monkeypatch, tmp_path) -> list[int]:
    """Seeds of the fits that were not read from the cache."""
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path))
    seeds: list[int] = []
    fit = lda.fit
    monkeypatch.setattr(lda, "fit", lambda *given: seeds.append(given[2]) or fit(*given))
    return seeds


def test_a_model_is_fitted_once_and_read_back_the_same(documents, fitted):
    first, again = fit_cached(documents, CONFIG, 1), fit_cached(documents, CONFIG, 1)
    assert fitted == [1]
    assert again.vocabulary == first.vocabulary and again.seed == first.seed
    assert np.array_equal(again.topic_word_counts, first.topic_word_counts)
    texts = [document.text for document in documents]
    assert np.array_equal(again.infer(texts), first.infer(texts))


def test_other_inputs_and_libraries_are_fitted_again(documents, fitted, monkeypatch):
    fit_cached(documents, CONFIG, 1)
    fit_cached(documents, CONFIG, 2)
    fit_cached(documents[1:], CONFIG, 1)
    fit_cached(documents, CONFIG.model_copy(update={"passes": 3}), 1)
    monkeypatch.setattr(lda, "LIBRARIES", ("another gensim",))
    fit_cached(documents, CONFIG, 1)
    assert fitted == [1, 2, 1, 1, 1]


def test_a_damaged_file_is_fitted_again(documents, fitted, tmp_path):
    fit_cached(documents, CONFIG, 1)
    (path,) = (tmp_path / "topics").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    fit_cached(documents, CONFIG, 1)
    assert fitted == [1, 1]


def test_a_killed_run_fits_only_what_is_missing(documents, tmp_path, monkeypatch):
    config, seeds, once = CONFIG.model_copy(update={"restarts": 3, "words": ("worda",)}), [], lda._Fit.run

    def dying(fit):
        seeds.append(fit.seed)
        if len(seeds) == 3:
            raise KeyboardInterrupt
        return once(fit)

    monkeypatch.setattr(lda._Fit, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        lda.fit(documents, config, 1, FitCache(tmp_path))
    found = lda.fit(documents, config, 1, FitCache(tmp_path))
    assert len(seeds) == 4 and seeds[2] == seeds[3]
    assert np.array_equal(found.topic_word_counts, lda.fit(documents, config, 1).topic_word_counts)


def test_a_cache_that_cannot_be_written_is_a_warning(documents, fitted, tmp_path, messages):
    (tmp_path / "topics").write_text("in the way")
    fit_cached(documents, CONFIG, 1)
    assert any("is not cached" in message for message in messages)
