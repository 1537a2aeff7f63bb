"""An evaluation finds the planted concept, resumes, and decides nothing by an unseen label."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from planted_suite import GOLD_ENTRY, KITCHEN, SEA, planted_corpus

from agent.errors import BasinError
from agent.judging.gold import every_gold_labels
from agent.membership.log_odds import log_odds
from agent.pointer.topic_model import PointerReading
from loops.evaluation.membership import evaluate, suite
from loops.evaluation.membership import methods as suite_methods
from loops.evaluation.membership.evaluate import Corpus, evaluate_membership
from loops.evaluation.membership.methods import METHODS, Turn
from loops.evaluation.membership.suite import Pointed
from loops.evaluation.tables import CEILING, SHUFFLED, TOPIC

MEASURES = [f"{name}_{kind}" for name in ("ap", "pgr", "precision") for kind in ("single", "pooled")]
COLUMNS = [*MEASURES, "corpus", "concept", "seed", "method", "size_ratio", "no_concept_flag", "seconds"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def reads(tmp_path, monkeypatch):
    """Names of the corpora that were read; activations are planted, nothing is downloaded."""
    names: list[str] = []
    gold_file = tmp_path / "labels.yaml"
    gold_file.write_text(json.dumps({"stories.jsonl": GOLD_ENTRY}), encoding="utf-8")

    def read(config):
        names.append(config.name)
        passages = suite.load_passages(config)
        labels = every_gold_labels(config.corpus, passages.documents, gold_file)
        gold = labels[0].of_passages(passages.document_of)
        generator = np.random.default_rng(3)
        views = {}
        for name, layers in (("activations", 2), ("embeddings", 1)):
            noise = generator.normal(size=(len(gold), layers, 10))
            views[name] = (noise + 0.9 * gold[:, None, None]).astype(np.float32)
        embed = lambda texts: generator.normal(size=(len(texts), 10))  # noqa: E731
        return Corpus(config, passages, views, embed, {each.concept: each for each in labels})

    monkeypatch.setattr(evaluate, "read_corpus", read)
    monkeypatch.setattr(evaluate, "commit", lambda: "abc")
    return names


@pytest.fixture
def counts(monkeypatch):
    """Counted work."""
    found = []
    monkeypatch.setattr(evaluate, "advance", lambda *count: found.append(count))
    return found


def evaluated(corpus, tmp_path, methods=("basin",), seeds=(1,), **more):
    return evaluate_membership([corpus], methods, seeds, tmp_path / "done", **more)


def test_every_method_gives_a_row_with_every_column(reads, tmp_path, counts):
    rows = evaluated(planted_corpus(tmp_path), tmp_path, methods=())
    assert [row["method"] for row in rows] == list(METHODS)
    found = {row["method"]: row for row in rows}
    assert all(set(COLUMNS) <= set(row) for row in rows)
    assert found[TOPIC]["pgr_single"] == 0 and found[CEILING]["pgr_single"] == 1
    assert found["basin"]["ap_single"] > found[TOPIC]["ap_single"] + 0.05
    assert found["basin"]["pgr_single"] > 0.5
    assert found[CEILING]["ap_pooled"] > 0.9
    assert found["basin"]["no_concept_flag"] is False and found[TOPIC]["no_concept_flag"] is None
    assert found[SHUFFLED]["no_concept_flag"] is True
    assert found[SHUFFLED]["size_ratio"] is None
    assert len(found["basin"]["pointer_words"].split()) == 8 and "ship" in found["basin"]["pointer_words"]
    assert counts[-1] == ("evaluate", 1, 1, "concepts")


def test_finished_methods_are_not_repeated_and_new_ones_are_added(reads, tmp_path, monkeypatch):
    corpus = planted_corpus(tmp_path)
    first = evaluated(corpus, tmp_path, methods=["basin"])
    assert evaluated(corpus, tmp_path, methods=["basin"]) == first and reads == ["stories"]
    computed, read = [], evaluate.read_unseen
    monkeypatch.setattr(
        evaluate, "read_unseen", lambda name, *rest: computed.append(name) or read(name, *rest)
    )
    more = evaluated(corpus, tmp_path, methods=["topic-classifier", "basin"])
    assert computed == ["topic-classifier"]
    assert {row["method"] for row in more} == {TOPIC, "topic-classifier", "basin", CEILING}
    assert next(row for row in more if row["method"] == "topic-classifier")["pgr_single"] is not None
    assert {row["seed"] for row in evaluated(corpus, tmp_path, methods=[TOPIC], seeds=[0, 1])} == {0, 1}


def test_rows_of_another_suite_or_other_code_are_set_aside(reads, tmp_path, monkeypatch, messages):
    corpus = planted_corpus(tmp_path)
    evaluated(corpus, tmp_path, methods=[TOPIC])
    before = (tmp_path / "done" / "stories_sea_1.json").read_bytes()
    other = corpus.model_copy(update={"concepts": {"sea": tuple(SEA[2:5])}})
    evaluated(other, tmp_path, methods=[TOPIC])
    assert any("kept as done-1" in text for text in messages)
    assert (tmp_path / "done-1" / "stories_sea_1.json").read_bytes() == before
    monkeypatch.setattr(evaluate, "commit", lambda: "def")
    evaluated(other, tmp_path, methods=[TOPIC])
    assert (tmp_path / "done-2").exists() and reads == ["stories"] * 3


def test_every_third_is_unseen_in_turn_and_passages_are_measured_once(reads, tmp_path, monkeypatch):
    measured, measure = [], evaluate.measure_membership
    monkeypatch.setattr(
        evaluate,
        "measure_membership",
        lambda readings, golds, size: measured.append(golds) or measure(readings, golds, size),
    )
    corpus = planted_corpus(tmp_path, rotate=True, pointer="seed_words")
    evaluated(corpus, tmp_path, methods=[TOPIC])
    passages = suite.load_passages(corpus)
    assert [len(golds) for golds in measured] == [3, 3]
    assert sum(len(gold) for gold in measured[0]) == len(passages.texts)


def test_a_concept_that_cannot_be_measured_is_skipped_with_a_sentence(
    reads, tmp_path, monkeypatch, messages, counts
):
    corpus = planted_corpus(tmp_path, concepts={"kitchen": KITCHEN[:3], "sea": SEA[:3]})
    rows = evaluated(corpus, tmp_path, methods=[TOPIC])
    assert {row["concept"] for row in rows} == {"sea"}
    assert any("kitchen" in text and "no gold labels" in text for text in messages)
    first = np.arange(48) < 8
    monkeypatch.setattr(
        suite, "parts", lambda passages, seed: np.where(first, 2, np.where(np.arange(48) % 8 < 2, 1, 0))
    )
    messages.clear()
    assert evaluated(corpus, tmp_path, methods=[TOPIC], seeds=[7]) == []
    assert any("sea, seed 7: 0 of" in text for text in messages)
    assert counts[-1] == ("evaluate", 2, 2, "concepts")


def test_unknown_names_are_refused_with_the_nearest(reads, tmp_path):
    corpus = planted_corpus(tmp_path)
    with pytest.raises(BasinError, match="no method 'basim'.* did you mean basin"):
        evaluated(corpus, tmp_path, methods=["basim"])
    with pytest.raises(BasinError, match="no corpus 'storys'.* did you mean stories"):
        evaluated(corpus, tmp_path, only=["storys"])
    assert not (tmp_path / "done").exists()


def test_a_missing_corpus_is_left_out(reads, tmp_path, messages):
    corpus = planted_corpus(tmp_path)
    (tmp_path / "stories.jsonl").unlink()
    assert evaluated(corpus, tmp_path) == []
    assert any("left out" in text for text in messages) and not reads


def test_a_corpus_is_read_by_both_models(tmp_path, monkeypatch):
    zeros = lambda *given: np.zeros((len(given[-1]), 1, 2), dtype=np.float32)  # noqa: E731
    monkeypatch.setattr(evaluate, "LanguageModel", types.SimpleNamespace(load=lambda config: "a model"))
    monkeypatch.setattr(evaluate, "load_embedder", lambda: types.SimpleNamespace(encode=None))
    monkeypatch.setattr(evaluate, "record_cached", zeros)
    monkeypatch.setattr(evaluate, "embed_cached", zeros)
    corpus = planted_corpus(tmp_path)
    read = evaluate.read_corpus(corpus)
    assert {name: len(view) for name, view in read.views.items()} == dict.fromkeys(
        ("activations", "embeddings"), len(read.passages.texts)
    )


def planted_turn(document_of, weights, seen):
    reading = PointerReading(weights, 10 * weights, np.full(len(weights), 10.0))
    return Turn(Pointed(None, reading), log_odds(weights), {}, document_of, seen, ~seen, seen, 0.2)


@pytest.mark.parametrize("passages", [[2] * 8, [1, 2, 3, 2, 1, 2, 3, 2]])
def test_a_shuffled_pointer_is_the_same_pointer_on_other_documents(passages):
    document_of = np.repeat(np.arange(8), passages)
    seen = document_of < 4
    turn = planted_turn(document_of, np.linspace(0.1, 0.9, len(document_of)), seen)
    shuffled = suite_methods.shuffled_pointer(turn, seed=1)
    for part in (seen, ~seen):
        means = [
            [values[part & (document_of == number)].mean() for number in np.unique(document_of[part])]
            for values in (turn.pointer, shuffled)
        ]
        assert np.sort(means[0]) == pytest.approx(np.sort(means[1]))
    assert not np.allclose(shuffled, turn.pointer)
    assert np.array_equal(shuffled, suite_methods.shuffled_pointer(turn, seed=1))
    if len(set(passages)) == 1:
        assert np.sort(shuffled) == pytest.approx(np.sort(log_odds(turn.pointed.reading.weights)))


def test_the_claimed_size_is_presence_of_seeded_topics_and_else_mass():
    document_of = np.repeat(np.arange(10), 2)
    weights = np.where(document_of < 3, 0.06, 0.04)
    seen = document_of < 8
    pointed = Pointed(None, PointerReading(weights, weights * 10, np.full(20, 10.0)))
    assert suite_methods.claimed_size(pointed, seen, document_of, seeded=True) == pytest.approx(3 / 8)
    assert suite_methods.claimed_size(pointed, seen, document_of, seeded=False) == pytest.approx(
        weights[seen].mean()
    )
    full = Pointed(None, PointerReading(np.ones(20), np.ones(20), np.ones(20)))
    assert suite_methods.claimed_size(full, seen, document_of, seeded=False) == 0.5
