"""A run from Python: on a tiny random model from the start to the page, and on planted runs what it shows of them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas
import pytest
from planted_project import make_project, settings
from planted_run import CONFIG, planted_record, save_rounds

from agent.errors import BasinError
from loops import Run
from loops.api.session import overrides_of
from loops.api.views import Member, Shown, WrittenPassage
from loops.checkpoint.store import RunStore
from loops.config import parse_config


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Iterator[Path]:
    """A folder with tiny models, a corpus and configurations; runs and caches land there, pages need no network."""
    folder = tmp_path_factory.mktemp("ground")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASIN_CACHE", str(folder / "cache"))
        patch.setenv("BASIN_CHECKPOINTS", str(folder / "runs"))
        patch.setattr("loops.report.page.obtain", lambda: False)
        patch.setattr("loops.report.page.script", lambda: "/* charts */")
        yield folder


@pytest.fixture(scope="module")
def started(ground) -> Run:
    return Run.start(ground / "vector.yaml", rounds=1, settings={"generation": {"samples": 4}}, quiet=True)


@pytest.fixture
def planted(tmp_path) -> Run:
    """A run of a topic and two rounds."""
    store = RunStore.create(tmp_path / "planted", CONFIG)
    save_rounds(store, 3)
    return Run(store)


def test_a_run_is_started_as_the_command_starts_one(started, ground):
    assert started.path == ground / "runs" / "vector" and started.name in Run.names()
    assert (started.config.rounds, started.config.generation.samples) == (1, 4)
    about = json.loads((started.path / "run.json").read_bytes())
    assert about["overrides"] == ["generation.samples=4", "rounds=1"]
    assert about["config_file"] == str(ground / "vector.yaml")
    assert (started.path / "run.log").read_text()
    assert set(started.topic_words[:3]) <= {f"crime{letter}" for letter in "abcdefghij"}
    assert started.certificate and "ertified" in started.certificate


def test_it_is_opened_by_name_and_path_and_gone_on_with(started, ground):
    assert Run.open("vector") == Run.open(started.path) == started and len({started, Run.open("vector")}) == 1
    before = len(started.rounds)
    assert Run.resume(started, rounds=before, quiet=True) == started
    assert len(started.rounds) == before + 1, "an open run sees what another one added"


def test_the_concept_scores_given_and_generated_texts(started):
    inside, outside = "crimea crimeb crimec crimed crimee plainaa", "oceana oceanb oceanc plainab fieldd"
    scores = started.concept.predict_proba([inside, outside])
    assert scores.shape == (2, 2) and np.allclose(scores.sum(axis=1), 1) and scores[0, 1] > scores[1, 1]
    assert started.concept is started.concept, "the model is loaded once"
    written = started.generate(3, quiet=True)
    assert started.concept.predict_proba(written).shape == (3, 2)
    assert written == started.generate(3, quiet=True) != started.generate(3, seed=1, quiet=True)
    assert all(each == each.prompt + each.continuation and each.continuation for each in written)
    assert [each.prompt for each in started.generate(2, prompt=" crimea", quiet=True)] == [" crimea"] * 2
    assert "<th>continuation</th>" in written._repr_html_()


def test_the_page_is_written_and_linked(started, tmp_path):
    page = started.report(quiet=True)
    assert page.path == started.path / "report.html"
    assert page.path.stat().st_size / 1e6 == pytest.approx(page.megabytes)
    assert started.report(tmp_path / "another.html", quiet=True).path.exists()


def test_settings_may_be_a_tree_or_a_configuration(ground):
    tree = settings(ground, "vector", rounds=1)
    with pytest.raises(BasinError, match="somewhere"):
        Run.start({**tree, "corpus": {"source": "somewhere"}}, quiet=True)
    config = parse_config({**tree, "corpus": {"source": "somewhere else"}}, "test")
    with pytest.raises(BasinError, match="somewhere else"):
        Run.start(config, name="given", rounds=2, quiet=True)
    assert Run.open("given").config.rounds == 2 and len(Run.open("given").rounds) == 0
    with pytest.raises(BasinError, match="no whole round yet"):
        Run.open("given").concept  # noqa: B018
    assert "no whole round yet" in repr(Run.open("given"))


def test_an_interrupt_keeps_rounds_and_is_passed_on(ground, monkeypatch, capsys):
    monkeypatch.setattr("loops.round.context.open_context", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Run.start(ground / "vector.yaml", name="stopped")
    assert "Run.resume('stopped') continues" in " ".join(capsys.readouterr().out.split())


def test_rounds_are_read_by_number_and_make_a_table(planted):
    rounds = planted.rounds
    assert [each.round for each in rounds] == [0, 1, 2]
    assert rounds[-1].round == 2 and rounds[1].metrics == planted_record(1).metrics
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=f"no round {wrong}; it has 0, 1, 2"):
            rounds[wrong]
    with pytest.raises(TypeError, match="by number"):
        rounds["newest"]
    frame = pandas.DataFrame(rounds.table())
    assert rounds[frame["round"].max()].round == 2  # an integer of NumPy's
    assert list(frame["round"]) == [0, 1, 2] and frame["drift"].iloc[1] == pytest.approx(0.3)
    assert repr(rounds).splitlines()[0].split()[:3] == ["round", "size", "members"]
    assert rounds._repr_html_().count("<tr>") == 4


def test_damaged_rounds_are_shown_without_values(planted):
    save_rounds(planted._store, 2)
    (planted.path / "round_004" / "manifest.json").unlink()
    assert planted.rounds.table()[-1] == {"round": 4}
    assert "4" in repr(planted.rounds).splitlines()[-1] and len(planted.rounds) == 4


def test_members_are_the_run_s_passages(planted):
    members, concept = planted.members(2), planted_record(2).concept
    expected = concept.membership[concept.members()[:2]]
    assert [each.membership for each in members] == expected.tolist()
    assert all(each.text.startswith("Passage") for each in members)
    assert {each.title for each in planted.members()} & {"A [Title]", "T", "b2"}
    assert members._repr_html_().count("<tr>") == 3
    for wrong in (-1, 2.5, "3"):
        with pytest.raises(BasinError, match="limit was"):
            planted.members(wrong)


def test_corpus_texts_are_inert_in_a_notebook():
    written = Shown([WrittenPassage("<img src=x>", "\n<script>\x1b[2J")])
    members = Shown([Member(0.5, "<img src=x>", "<script>", "\x1b[2J")])
    shown = written._repr_html_() + members._repr_html_()
    assert not any(tag in shown for tag in ("<script", "<img", "\x1b")) and "&lt;img" in shown


@pytest.mark.parametrize(
    ("given", "overrides"),
    [
        ({}, []),
        ({"topics": {"count": 20, "words": ["a", "b"]}}, ["topics.count=20", 'topics.words=["a", "b"]']),
        (
            {"topics.count": np.int64(20), "coherence.model": None},
            ["topics.count=20", "coherence.model=null"],
        ),
        ({"corpus.source": Path("a: b")}, ['corpus.source="a: b"']),
        ({"topics": {"words": ("é",)}}, ['topics.words=["é"]']),
    ],
)
def test_settings_become_overrides(given, overrides):
    assert overrides_of(given) == overrides


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({3: 4}, "3 is no name of a setting"),
        ({"seed=3": 4}, "no name of a setting"),
        ({"clustering": {"size": float("nan")}}, "size was nan"),
        ({"corpus": {"source": object()}}, "which a configuration cannot hold"),
        (["seed=3"], "names and values"),
    ],
)
def test_invalid_settings_are_refused(given, sentence):
    with pytest.raises(BasinError, match=sentence):
        overrides_of(given)


def test_mistakes_end_in_a_sentence(planted, tmp_path, monkeypatch):
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    misspelt = {"corpus": {"source": "x"}, "topics": {"cuont": 3}}
    for mistake, sentence in (
        (lambda: Run.open("plantde"), "did you mean planted"),
        (lambda: Run.start("brwon"), "basin run brown"),
        (lambda: Run.start(misspelt), "nearest known one is topics.count"),
        (lambda: Run.resume(planted, rounds=-1), "rounds was"),
        (lambda: Run.resume(planted, rounds=True), "rounds was"),
        (lambda: planted.generate(0), "count was"),
        (lambda: planted.generate(particles=1.5), "particles was"),
        (lambda: planted.concept_of(7), "no round 7"),
        (lambda: planted.members(round=-1), "no round -1"),
        (lambda: planted.concept.predict_proba("one text"), "put it into a list"),
    ):
        with pytest.raises(BasinError, match=sentence):
            mistake()


def test_importing_run_is_quick():
    heavy = "torch transformers numpy scipy sklearn gensim pydantic pyarrow matplotlib datasets"
    code = "import sys, agent, loops; from loops import Run, BasinError; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(heavy.split()) & set(done.stdout.split())
    with pytest.raises(ImportError):
        from loops import Rnu  # noqa: F401
