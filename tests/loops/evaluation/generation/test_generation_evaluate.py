"""An evaluation of writing, on a tiny random model: what it keeps, what it does again, and what it refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_language_model
from planted_suite import planted_corpus
from planted_task import OddIsCoherent, planted_task

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from loops.evaluation.generation import evaluate, generators, judge
from loops.evaluation.generation.evaluate import evaluate_generation
from loops.evaluation.membership.suite import task_name
from loops.evaluation.tables import GENERATED

SOME = ["base", "prompt-name", "basin-filter", "basin-steered-0.1"]


class Embedder:
    """Counts of every word."""

    def encode(self, texts, show_progress_bar):
        counts = np.zeros((len(texts), 90))
        for row, text in enumerate(texts):
            for word in text.split():
                counts[row, int(word[1:])] += 1
        return counts


@pytest.fixture
def corpus(tmp_path):
    return planted_corpus(tmp_path, called={"sea": "sea story"})


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Nothing is downloaded; the task is a planted one, and a passage has forty tokens."""
    model = make_language_model(layers=(1,), dtype="float32")
    monkeypatch.setattr(generators, "STEERED_LAYERS", (1,))
    evaluating = {
        "read_corpus": lambda corpus: None,
        "make_task": lambda read, concept, samples, seed, folder: planted_task(folder, model),
        "Coherence": SimpleNamespace(fit=lambda *given: OddIsCoherent()),
        "NEW_TOKENS": 40,
        "commit": lambda: "abc",
    }
    judging = {"load_embedder": lambda: Embedder(), "NEW_TOKENS": 40, "STORY_WORDS": 30}
    for module, stubs in ((evaluate, evaluating), (judge, judging)):
        for name, stub in stubs.items():
            monkeypatch.setattr(module, name, stub)
    monkeypatch.setattr(LanguageModel, "load", lambda config: model)


@pytest.fixture
def written(monkeypatch):
    """How many passages each call of the model wrote."""
    counts, generate = [], LanguageModel.generate

    def counting(self, prompts, *arguments, **options):
        counts.append(len(prompts))
        return generate(self, prompts, *arguments, **options)

    monkeypatch.setattr(LanguageModel, "generate", counting)
    return counts


def evaluated(corpus, tmp_path, **more):
    return evaluate_generation([corpus], tmp_path / "out", **{"generators": SOME} | more)


def test_every_generator_has_a_row_and_its_passages_and_nothing_is_written_twice(corpus, tmp_path, written):
    rows = evaluated(corpus, tmp_path)
    assert [row["generator"] for row in rows] == SOME
    assert all(set(GENERATED) <= set(row) for row in rows)
    found = {row["generator"]: row for row in rows}
    folder = tmp_path / "out" / task_name("stories", "sea")
    assert json.loads((folder / "rows.json").read_bytes()) == rows
    json.dumps(rows, allow_nan=False)
    for name, row in found.items():
        judged = json.loads((folder / "judged" / f"{name}.json").read_bytes())
        assert len(judged) == row["samples"]
        assert row["coherent_share"] == np.mean([each["coherent"] for each in judged])
        assert row["inside"] == np.mean([each["inside"] for each in judged])
        both = np.mean([each["inside"] and each["coherent"] for each in judged])
        assert row["inside_and_readable"] == both
        scores = [each["cluster_score_a"] for each in judged if each["cluster_score_a"] is not None]
        assert row["cluster_score_a"] == pytest.approx(np.mean(scores), abs=2e-3)
    # The base model is at no distance; choosing, steering and prompting are.
    assert found["base"]["kl_per_token"] == 0 and found["base"]["vendi_ratio"] == 1
    assert all(found[name]["kl_per_token"] > 0.001 for name in SOME[1:])
    assert found["basin-filter"]["kl_per_token"] == pytest.approx(
        -np.log(found["basin-filter"]["kept_share"]) / 40
    )
    assert 0 < found["basin-filter"]["kept_share"] < 1
    assert found["base"]["auc_b"] > 0.9  # the planted words are there for a judge to find

    assert written == [24, 6, 6]
    written.clear()
    again = evaluated(corpus, tmp_path, generators=SOME[:1])
    assert written == []
    assert again == rows  # the others' rows, too: all are judged together


def test_a_folder_begun_with_other_settings_is_set_aside(corpus, tmp_path, monkeypatch, messages):
    monkeypatch.setattr(evaluate, "_evaluate", lambda task, *rest: [{"folder": task.folder}])
    place = tmp_path / "out" / "stories_sea"
    for _ in range(2):
        assert evaluated(corpus, tmp_path) == [{"folder": place}]
        (place / "kept.txt").write_text("first")
    assert messages == [] and [each.name for each in place.parent.iterdir()] == ["stories_sea"]
    evaluated(corpus, tmp_path, seed=1)
    assert messages == ["stories_sea was begun with other settings: it is kept as stories_sea-1."]
    assert (place.with_name("stories_sea-1") / "kept.txt").read_text() == "first"
    assert not (place / "kept.txt").exists()
    evaluated(corpus, tmp_path, seed=1, samples=16)
    assert (place.with_name("stories_sea-2")).exists()


def test_an_unusable_folder_is_refused(corpus, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stories_sea").write_text("no folder")
    with pytest.raises(BasinError, match="stories_sea cannot be used .*--out") as raised:
        evaluated(corpus, tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"generators": ["basin-filtr"]},
            "no generator 'basin-filtr' to evaluate; did you mean basin-filter?",
        ),
        ({"only": ["storys"]}, "no corpus 'storys' to evaluate; did you mean stories?"),
        ({"concepts": ["se"]}, "no concept 'se' to evaluate; did you mean sea?"),
        ({"concepts": ["xyz"]}, "no concept 'xyz' to evaluate; choose among sea."),
    ],
)
def test_unknown_names_are_refused_first_with_the_nearest_name(corpus, tmp_path, given, expected):
    with pytest.raises(BasinError) as raised:
        evaluated(corpus, tmp_path, **given)
    assert expected in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_corpus_is_left_out(corpus, tmp_path, messages):
    (tmp_path / "stories.jsonl").unlink()
    assert evaluated(corpus, tmp_path) == []
    assert any("stories, sea is left out" in text for text in messages)
