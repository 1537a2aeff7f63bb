"""`basin ask` on a planted run: answers are kept one by one, resumed, and used as a size."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import typer.testing
from planted_run import CONFIG
from planted_scene import Scene, plant

from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.diagnostics.verify import verify
from loops.evaluation.ask import ANSWERS, open_questions


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    drawn = plant(tmp_path / "drawn", Scene(rounds=2, placed=False))
    made = RunStore.create(tmp_path / "planted", CONFIG)  # its source is a path, as in any real run
    made.save(drawn.load(0), drawn.load_passages(), drawn.load_pointer())
    for number in (1, 2):
        made.save(drawn.load(number))
    return made


def _ask(typed: str, *options: object, run: str = "planted") -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["ask", run, *map(str, options)], input=typed)


def _refused(*options: object, run: str = "planted") -> str:
    done = _ask("", *options, run=run)
    assert done.exit_code == 1 and done.stderr.count("Error: ") == 1
    return done.stderr


def _answers(store: RunStore) -> list[str]:
    return list(open_questions(store, None).answers.values())


def test_answers_are_kept_and_resumed_and_a_wrong_key_is_asked_again(store):
    first = _ask("Yes\nx\n\nn\ns\nq\n")
    assert first.exit_code == 0 and first.stdout.count("No such key") == 2
    assert _answers(store) == ["yes", "no", "skip"] and "Too few answers" in first.stdout
    rest = _ask("y\n" * 17)
    assert rest.exit_code == 0 and "4 of 20" in rest.stdout and "\n3 of 20" not in rest.stdout
    assert "precision" in rest.stdout and "your 19 answers" in rest.stdout
    assert " of 20" not in _ask("").stdout
    assert verify(store.path).whole and not verify(store.path).remarks


def test_a_terminal_gives_keys_and_an_interrupt_keeps_the_answers(store, monkeypatch):
    def press():
        yield from "yn?"
        raise KeyboardInterrupt

    keys = press()
    monkeypatch.setattr("loops.cli.ask.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr("typer.getchar", lambda echo: next(keys))
    done = _ask("")
    assert done.exit_code == 130 and "2 answers are kept" in done.stderr
    assert _answers(store) == ["yes", "no"]


def test_the_size_that_was_answered_begins_a_run(store):
    assert "give no size" in _refused("--use")
    questions = open_questions(store, None)
    order = questions.waiting(60)
    typed = "".join("y\n" if questions.group[at] >= 2 else "n\n" for at in order)
    done = _ask(typed, "-n", 60, "--use")
    assert done.exit_code == 0, done.output[-500:]
    made = RunStore.open(store.path.with_name("planted-asked"))
    inside = store.load(2).concept.inside.mean()
    assert made.config.clustering.size == pytest.approx(inside, abs=1e-4)
    assert made.rounds() == [0] and not (made.path / ANSWERS).exists()
    assert "It is your concept" in done.stdout


def test_answers_of_another_round_and_damaged_ones_are_refused(store):
    _ask("y\n", "--round", 1)
    assert "those of round 1: go on with --round 1" in _refused()
    assert _ask("n\n", "--round", 1).exit_code == 0
    file = store.path / ANSWERS
    file.write_text(file.read_text().replace('"yes"', '"no"'))
    assert "not what was written" in _refused("--round", 1) and not verify(store.path).whole
    file.write_text("{")
    assert "cannot be used" in _refused() and "'plantd'" in _refused(run="plantd")


def test_a_run_without_a_concept_has_nothing_to_ask_about(tmp_path, store):
    bare = RunStore.create(tmp_path / "bare", store.config)
    assert "no whole round" in _refused(run="bare")
    first = store.load(0)
    metrics = {**first.metrics, "no_concept": "No concept here: a function word."}
    bare.save(replace(first, metrics=metrics), store.load_passages(), store.load_pointer())
    assert "no concept to ask about" in _refused(run="bare")
    all_in = replace(first, concept=replace(first.concept, membership=np.ones(240)))
    whole = RunStore.create(tmp_path / "whole", store.config)
    whole.save(all_in, store.load_passages(), store.load_pointer())
    assert "claims every passage" in _refused(run="whole")
