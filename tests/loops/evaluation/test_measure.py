"""A stored run is measured against the labels of its corpus, and only there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agent.concept import Concept
from agent.errors import BasinError
from agent.judging.writing import Judgement
from agent.pointer.topic_model import Pointer, TopicModel
from agent.types import Document, Passage, PassageSet, document_id
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.evaluation import measure
from loops.records import Generated, RoundRecord

DOCUMENTS, PASSAGES = 12, 4
LABELS = np.arange(DOCUMENTS) % 3 == 0
GOLD = np.repeat(LABELS, PASSAGES)


def text_of(document: int) -> str:
    return f"Book {document}: the police and the sea."


def planted_run(folder: Path, labelled: bool) -> RunStore:
    """A run of two rounds over labelled books; the concept of round 1 is perfect."""
    corpus = folder / "books.jsonl"
    rows = [
        {"text": text_of(at)} | ({"label": bool(label)} if labelled else {})
        for at, label in enumerate(LABELS)
    ]
    corpus.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    store = RunStore.create(folder / "run", parse_config({"corpus": {"source": str(corpus)}}, "test"))
    documents = tuple(Document(document_id(text_of(at)), "", f"Book {at}") for at in range(DOCUMENTS))
    words = ["police" if at % 2 else "sea" for at in range(len(GOLD))]
    passages = tuple(
        Passage(f"p{at}", at // PASSAGES, at % PASSAGES, f"{word} {at}") for at, word in enumerate(words)
    )
    pointer = Pointer(TopicModel(("police", "sea"), np.array([[9.0, 1.0], [1.0, 9.0]]), np.ones(2), 1), 0)
    for number, scores in enumerate((np.array([word == "police" for word in words]), GOLD)):
        log_odds = np.where(scores, 3.0, -3.0)
        membership = 1 / (1 + np.exp(-log_odds))
        concept = Concept(number, membership, log_odds, log_odds.copy(), float(membership.mean()))
        begun = {"passages": PassageSet(documents, passages), "pointer": pointer} if number == 0 else {}
        samples = (Generated("steered", "The", "clue.", 1, 0.9, True, 2.0),) if number else ()
        points = np.ones((1, 2, 3), dtype=np.float32) if number else None
        drift = {"drift": 0.5} if number else {}
        store.save(RoundRecord(number, concept, drift, samples, points, {"record": 1.5}), **begun)
    return store


@pytest.fixture
def activations() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(GOLD), 2, 3)).astype(np.float32)


def test_a_run_is_measured_and_not_measured_twice(tmp_path, activations):
    store = planted_run(tmp_path, labelled=True)
    assert measure.stored_rows(store) is None
    before = {path: path.read_bytes() for path in store.path.rglob("round_*/*")}
    rows = measure.measure(store, activations)
    assert before == {path: path.read_bytes() for path in store.path.rglob("round_*/*")}
    assert [row["round"] for row in rows] == [0, 1]
    # Every other passage of every document names the police: as good as chance.
    assert rows[0]["ap_concept"] == pytest.approx(1 / 3)
    assert rows[1]["ap_concept"] == 1
    assert rows[1]["ap_topic"] == pytest.approx(1 / 3)
    assert rows[1]["corpus"] == "books" and rows[1]["seconds"] == 1.5
    assert measure.stored_rows(RunStore.open(store.path)) == rows


def test_measurements_of_fewer_rounds_do_not_count(tmp_path, activations):
    store = planted_run(tmp_path, labelled=True)
    measure.measure(store, activations)
    (store.path / "round_001").rename(tmp_path / "gone")
    assert measure.stored_rows(store) is None


def test_a_corpus_without_labels_says_why_it_is_not_measured(tmp_path, activations, messages):
    said = messages
    store = planted_run(tmp_path, labelled=False)
    assert measure.measure(store, activations) == []
    assert any("no gold labels" in sentence for sentence in said)


def test_another_corpus_than_the_runs_is_refused(tmp_path, activations):
    store = planted_run(tmp_path, labelled=True)
    corpus = tmp_path / "books.jsonl"
    corpus.write_text(corpus.read_text().replace("Book 3:", "Tome 3:"))
    with pytest.raises(BasinError, match="1 of 12 documents .*Book 3"):
        measure.measure(store, activations)


def test_generated_text_is_judged_by_judges_that_can_tell(tmp_path, monkeypatch):
    store = planted_run(tmp_path, labelled=True)
    asked = []

    def judged(real, generated, judges, config, seed):
        asked.append((real.gold.tolist(), dict(generated), [*judges]))
        scores = {"basin": np.array([0.5])}
        return {
            "a": Judgement(0.9, 0.8, 0.2, scores, np.zeros(len(GOLD))),
            "b": Judgement(0.5, 0.8, 0.2, scores, np.zeros(len(GOLD))),
        }

    monkeypatch.setattr(measure, "load_embedder", lambda: None)
    monkeypatch.setattr(measure, "judge_passages", judged)
    rows = measure.judge(store)
    assert asked == [(GOLD.tolist(), {"basin": ["clue."]}, ["a", "b"])]
    found = [(row["generator"], row["judge"], row["cluster_score"], row["round"]) for row in rows]
    assert found == [("basin", "A", pytest.approx(0.5), 1), ("basin", "B", None, 1)]


def test_a_corpus_that_was_moved_is_named_as_what_measuring_lacks(tmp_path):
    store = planted_run(tmp_path, labelled=True)
    (tmp_path / "books.jsonl").rename(tmp_path / "moved.jsonl")
    for refused in (measure.measure, measure.judge):
        with pytest.raises(BasinError, match=r"books\.jsonl, which is no longer there: put it back"):
            refused(store)
