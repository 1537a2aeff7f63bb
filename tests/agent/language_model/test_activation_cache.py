"""Cached activations equal recorded ones, are complete, and are not recorded again."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from conftest import make_language_model
from safetensors.numpy import load_file, save_file

from agent.errors import BasinError
from agent.language_model import activation_cache
from agent.language_model.activation_cache import embed_cached, record_cached
from agent.language_model.model import LanguageModel


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and chunks of three texts: seven texts make three chunks."""
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(activation_cache, "CHUNK", 3)
    return tmp_path / "cache"


@pytest.fixture
def recorded(monkeypatch) -> list[list[str]]:
    """The texts of every call to `record`, in order."""
    calls: list[list[str]] = []
    record = LanguageModel.record

    def counted(self, texts, batches=None):
        calls.append(list(texts))
        return record(self, texts, batches)

    monkeypatch.setattr(LanguageModel, "record", counted)
    return calls


def chunk_files(cache):
    return sorted(cache.glob("activations/*/*.safetensors"))


def test_the_cache_gives_what_recording_gives(texts):
    language_model = make_language_model(depth=3, layers=(1, 2))
    direct = language_model.record(texts)
    assert record_cached(language_model, texts) == pytest.approx(direct, rel=1e-4, abs=1e-5)


def test_the_second_call_records_nothing_and_gives_the_same_bits(texts, recorded, cache, monkeypatch):
    first = record_cached(make_language_model(), texts)
    assert len(recorded) == len(chunk_files(cache)) == 3
    assert {path for path in cache.rglob("*") if path.is_file()} == set(chunk_files(cache))
    counts = []
    monkeypatch.setattr(activation_cache, "advance", lambda *count: counts.append(count))
    second = record_cached(make_language_model(), texts)
    assert len(recorded) == 3
    assert np.array_equal(first, second) and second.dtype == np.float32
    assert counts[-1] == ("record", 7, 7, "texts")


def test_the_order_of_the_texts_does_not_matter(texts, recorded):
    first = record_cached(make_language_model(), texts)
    second = record_cached(make_language_model(), texts[::-1])
    assert len(recorded) == 3
    assert np.array_equal(first[::-1], second)


def test_another_model_or_layer_is_another_cache(texts, recorded):
    record_cached(make_language_model(depth=3, layers=(1, 2)), texts)
    for other in ({"seed": 1, "layers": (1, 2)}, {"layers": (1,)}):
        recorded.clear()
        record_cached(make_language_model(depth=3, **other), texts)
        assert len(recorded) == 3


DAMAGES = {
    "cut": lambda file, whole, content: file.write_bytes(content[:-7]),
    "empty": lambda file, whole, content: file.write_bytes(b""),
    "a bit": lambda file, whole, content: file.write_bytes(
        content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    ),
    "not finite": lambda file, whole, _: save_file({"activations": np.where(whole > 0, np.nan, whole)}, file),
    "other shape": lambda file, whole, _: save_file({"activations": whole[:-1]}, file),
    "other name": lambda file, whole, _: save_file({"something": whole}, file),
    "gone": lambda file, whole, _: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_chunk_alone_is_recorded_again(texts, recorded, cache, damage):
    first = record_cached(make_language_model(), texts)
    recorded.clear()
    file = chunk_files(cache)[1]
    whole, content = load_file(file)["activations"], file.read_bytes()
    damage(file, whole, content)
    assert np.array_equal(record_cached(make_language_model(), texts), first)
    assert len(recorded) == 1 and len(recorded[0]) == len(whole)
    assert np.array_equal(load_file(file)["activations"], whole)


def test_large_models_keep_what_they_read_more_often(texts, recorded, monkeypatch):
    monkeypatch.setattr(activation_cache, "SMALL", 1)
    record_cached(make_language_model(), texts)
    assert [len(each) for each in recorded] == [1] * len(texts)


def test_an_interrupt_keeps_the_chunks_that_were_finished(texts, recorded, cache, monkeypatch):
    counted = LanguageModel.record

    def interrupted(self, texts, batches=None):
        if len(recorded) == 2:
            raise KeyboardInterrupt
        return counted(self, texts)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LanguageModel, "record", interrupted)
        record_cached(make_language_model(), texts)
    assert len(chunk_files(cache)) == 2
    again = record_cached(make_language_model(), texts)
    assert len(recorded) == 3
    assert again == pytest.approx(make_language_model().record(texts), rel=1e-4, abs=1e-5)


def test_no_texts_need_no_model(recorded):
    assert record_cached(make_language_model(), []).shape == (0, 1, 16)
    assert not recorded


def test_a_cache_that_cannot_be_written_is_named(texts, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("BASIN_CACHE", str(file))
    with pytest.raises(BasinError, match="BASIN_CACHE"):
        record_cached(make_language_model(), texts)


class Embedder:
    """Vectors of five numbers, and a count of the texts that were embedded."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor, self.texts = factor, []

    def encode(self, texts, show_progress_bar=None):
        self.texts += [text for text in texts if text != "."]
        rows = [[self.factor * len(text) + column for column in range(5)] for text in texts]
        return np.array(rows, dtype=np.float32)


def test_embeddings_are_activations_of_one_layer_and_are_kept(texts, cache):
    embedder = Embedder()
    first = embed_cached(embedder, "some-embedder", texts)
    assert first.shape == (7, 1, 5) and first.dtype == np.float32
    assert first[:, 0, 0].tolist() == [len(text) for text in texts]
    assert sorted(embedder.texts) == sorted(texts)
    assert {path.parent.name for path in chunk_files(cache)} == {"some-embedder"}
    again = Embedder()
    assert np.array_equal(embed_cached(again, "some-embedder", texts[::-1]), first[::-1])
    assert again.texts == []


def test_another_embedder_is_another_cache(texts):
    first = embed_cached(Embedder(), "one", texts)
    assert not np.array_equal(embed_cached(Embedder(2.0), "two", texts), first)
    assert np.array_equal(embed_cached(Embedder(2.0), "one", texts), first)


def test_what_another_process_read_is_taken_in_and_not_read_again(
    texts, recorded, cache, monkeypatch, tmp_path
):
    language_model = make_language_model()
    ordered = activation_cache.in_order(texts)
    elsewhere = {}
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "elsewhere"))
    for start in range(0, len(ordered), 3):
        piece = ordered[start : start + 3]
        elsewhere[start] = piece, record_cached(language_model, piece)
    monkeypatch.setenv("BASIN_CACHE", str(cache))
    recorded.clear()
    for piece, activations in elsewhere.values():
        activation_cache.keep_recorded(piece, activations, language_model.fingerprint, 3)
    found = record_cached(language_model, texts)
    assert not recorded
    for row, text in enumerate(texts):
        piece, activations = next(each for each in elsewhere.values() if text in each[0])
        assert np.array_equal(found[row], activations[piece.index(text)])


def test_the_next_texts_are_tokenized_while_these_are_read(texts, monkeypatch):
    language_model, seen = make_language_model(), []
    batches, record = language_model.batches, LanguageModel.record

    def noted(chunk, *rest):
        seen.append("tokenize")
        return batches(chunk, *rest)

    def slow(self, chunk, batches=None):
        while seen.count("tokenize") < min(seen.count("read") + 2, 3):
            threading.Event().wait(0.01)
        seen.append("read")
        return record(self, chunk, batches)

    monkeypatch.setattr(language_model, "batches", noted)
    monkeypatch.setattr(LanguageModel, "record", slow)
    record_cached(language_model, texts)
    assert seen == ["tokenize", "tokenize", "read", "tokenize", "read", "read"]
