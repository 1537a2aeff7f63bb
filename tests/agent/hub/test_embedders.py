"""The embedded sentence embedder, and the sentence for a name that leads to none."""

import pytest

from agent.errors import BasinError
from agent.hub import models
from agent.hub.embedders import embedder_status, load_embedder


def test_an_embedder_that_cannot_be_loaded_is_named(monkeypatch):
    monkeypatch.setattr(models, "hub_is_reachable", lambda: False)
    with pytest.raises(BasinError, match="'nobody/no-such-embedder' cannot be loaded.*all-minilm-l6-v2"):
        load_embedder("nobody/no-such-embedder")


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
