"""The embedded sentence embedder."""

import pytest

from agent.hub import embedders
from agent.hub.embedders import embedder_status, load_embedder


def test_embeddings_are_kept_by_files_and_libraries(monkeypatch):
    first = embedders.embedder_fingerprint()
    assert first == embedders.embedder_fingerprint()
    monkeypatch.setattr(embedders, "version", lambda name: "9.9")
    assert embedders.embedder_fingerprint() != first


def test_nothing_cached_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path))
    assert embedder_status() == "missing"


@pytest.mark.weights
def test_the_embedded_embedder_puts_like_with_like():
    embedder = load_embedder()
    assert embedder_status() == "cached"
    crime, police, cake = embedder.encode(
        ["A detective found the body.", "The police solved the murder.", "Bake the cake for an hour."],
        normalize_embeddings=True,
    )
    assert crime.shape == (384,)
    assert crime @ police > 0.4 > 0.2 > crime @ cake
