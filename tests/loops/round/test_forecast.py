"""The sentence on a run's time."""

from __future__ import annotations

from conftest import make_language_model

from agent.types import Document, Passage, PassageSet
from loops.config import parse_config
from loops.round import forecast


def _forecast(documents: int, each: int, **settings) -> str:
    config = parse_config({"corpus": {"source": "x"}, **settings}, "")
    kept = tuple(Document(str(number), "Text.") for number in range(documents))
    passages = tuple(Passage(f"{d}-{at}", d, at, "Text.") for d in range(documents) for at in range(each))
    return forecast.forecast(config, PassageSet(kept, passages), make_language_model(depth=4))


def test_a_slow_library_is_warned_of_with_a_remedy(monkeypatch):
    monkeypatch.setattr(forecast, "matrix_speed", lambda config: 1e-5)
    assert _forecast(10, 1).startswith("This may take about")
    assert "per_document: 20}" in _forecast(50, 100)
    assert "per_document" not in _forecast(50, 100, passages={"per_document": 90})
    assert "per_document" not in _forecast(3000, 1)
    monkeypatch.setattr(forecast, "matrix_speed", lambda config: 1e5)
    assert "per_document" not in _forecast(50, 100)
