"""The command line: mistakes end in one sentence and status 1, interrupts say how to go on."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from planted_run import CONFIG, save_rounds

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.cli.main import app

ACTIVATIONS = np.zeros((7, 2, 4))


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


@pytest.fixture
def config_file(tmp_path) -> Path:
    file = tmp_path / "planted.yaml"
    file.write_text("corpus: {source: somewhere}\nrounds: 4\n")
    return file


@pytest.fixture
def loop(monkeypatch) -> types.ModuleType:
    """A stand-in for the refinement loop: two planted rounds a run, one more a resume, and no report."""
    module = types.ModuleType("loops.refine")
    module.refine = lambda context, store, *_: save_rounds(store, 1 if store.rounds() else 2)
    module.reported = []
    context = types.SimpleNamespace(real=types.SimpleNamespace(activations=ACTIVATIONS))
    report = lambda store, console, activations: module.reported.append(activations)  # noqa: E731
    monkeypatch.setitem(sys.modules, "loops.refine", module)
    monkeypatch.setattr("loops.refine", module, raising=False)
    monkeypatch.setattr("loops.round.context.open_context", lambda *_: context)
    monkeypatch.setattr("loops.report.terminal.report_run", report)
    return module


def _basin(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments])


def _mistake(*arguments: object) -> str:
    """The error of a command: one line on the error stream, without a traceback."""
    result = _basin(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    said = [line for line in result.stderr.splitlines() if line]
    assert said[-1].startswith("Error: ") and "Traceback" not in result.output
    return said[-1]


def test_an_unknown_setting_is_refused_with_the_nearest(config_file, checkpoints):
    assert "topics.count" in _mistake("run", config_file, "--set", "topics.cuont=3")
    config_file.write_text("corpus: {source: somewhere}\nround: 4\n")
    assert "rounds" in _mistake("run", config_file)
    assert "seed" in _mistake("run", config_file, "--set", "seed")
    assert not checkpoints.exists()


def test_missing_files_runs_and_rounds_are_named(tmp_path, checkpoints):
    assert "none.yaml" in _mistake("run", tmp_path / "none.yaml")
    for command in ("resume", "inspect", "measure", "generate"):
        assert "'brwn'" in _mistake(command, "brwn")
    RunStore.create(checkpoints / "brown", CONFIG)
    assert "did you mean brown" in _mistake("inspect", "brwn")
    assert "round 9" in _mistake("inspect", _saved(checkpoints), "--round", 9)


def _saved(checkpoints: Path, rounds: int = 3) -> Path:
    store = RunStore.create(checkpoints / "saved", CONFIG)
    save_rounds(store, rounds)
    return store.path


def test_a_second_run_gets_a_name_of_its_own_and_a_given_name_is_kept(loop, config_file, checkpoints):
    assert [_basin("run", config_file).exit_code for _ in range(2)] == [0, 0]
    assert sorted(path.name for path in checkpoints.iterdir()) == ["planted", "planted-2"]
    assert "basin resume planted" in _mistake("run", config_file, "--name", "planted")
    result = _basin("run", config_file, "--name", "other", "--rounds", 7, "--set", "seed=5")
    assert result.exit_code == 0
    other = RunStore.open(checkpoints / "other")
    assert (other.config.rounds, other.config.seed, other.rounds()) == (7, 5, [0, 1])
    assert (other.path / "run.log").read_text()
    # The run is measured with its recorded activations: its model is not loaded again.
    assert all(activations is ACTIVATIONS for activations in loop.reported) and len(loop.reported) == 3


def test_an_interrupt_keeps_whole_rounds_and_resume_goes_on(loop, config_file, checkpoints):
    whole = loop.refine

    def interrupted(context: object, store: RunStore, *_: object) -> None:
        save_rounds(store, 2)
        raise KeyboardInterrupt

    loop.refine = interrupted
    result = _basin("run", config_file)
    loop.refine = whole
    assert result.exit_code == 130 and "basin resume planted" in result.stderr
    assert _basin("resume", "planted").exit_code == 0
    assert RunStore.open(checkpoints / "planted").rounds() == [0, 1, 2]


def test_a_run_that_another_process_writes_to_is_left_alone(loop, checkpoints):
    store = RunStore.open(_saved(checkpoints))
    with store.exclusive():
        assert "saved" in _mistake("resume", "saved")
    assert store.rounds() == [0, 1, 2]


def test_inspect_shows_every_round_and_one_in_full(checkpoints):
    path = _saved(checkpoints)
    table, whole = _basin("inspect", path), _basin("inspect", path, "--round", 2)
    assert [line.split()[0] for line in table.output.splitlines() if line[:1].isdigit()] == ["0", "1", "2"]
    now, before = (RunStore.open(path).load(number).concept for number in (2, 1))
    assert f"{len(now.members())} of 7" in whole.output and "[b]went" in whole.output
    assert f"since round 1: {(now.inside & ~before.inside).sum()}" in whole.output
    assert table.exit_code == whole.exit_code == _basin("inspect", path, "--round", 0).exit_code == 0


def test_inspect_lists_changed_passages_of_older_rounds(checkpoints):
    path = _saved(checkpoints)
    store = RunStore.open(path)
    save_rounds(store, 1)
    for number in (2, 3):
        topic, before, now = (store.load(each).concept.inside for each in (0, number - 1, number))
        shown = _basin("inspect", path, "--round", number).output
        for title, moved in (
            ("Claimed by the pointer, refused by the concept", topic & ~now),
            ("Missed by the pointer, added by the concept", now & ~topic),
            (f"Entered since round {number - 1}", now & ~before),
            (f"Left since round {number - 1}", before & ~now),
        ):
            # The title, an empty line, the passages under their header.
            block = shown[shown.index(f"{title}: {moved.sum()}") :].split("\n\n")[0]
            named = {at for at in range(7) if f"Passage {at} —" in block}
            assert named == set(np.flatnonzero(moved))


def test_inspect_shows_the_rest_of_a_damaged_run(checkpoints):
    path = _saved(checkpoints)
    file = path / "round_001" / "tensors.safetensors"
    file.write_bytes(b"\0" * file.stat().st_size)
    result = _basin("inspect", path)
    assert result.exit_code == 0 and "damaged" in result.output and path.joinpath("round_001").exists()
    assert "tensors.safetensors" in _mistake("inspect", path, "--round", 1)


def test_workers_and_ray_are_settings_of_run_and_resume(config_file, checkpoints, monkeypatch):
    seen = []
    monkeypatch.setattr("loops.api.session.work_on", lambda store, *_: seen.append(store.config))
    _basin("run", config_file, "--workers", 3)
    _basin("resume", "planted", "--workers", 2, "--ray", "local")
    assert [(each.workers, each.ray) for each in seen] == [(3, None), (2, "local")]


def test_passages_are_printed_as_they_are_finished(checkpoints, monkeypatch):
    def write(store: RunStore, number: int, count: int, *, words: int, **_: object):
        yield f"Round {number}:", f" {count} of {words} words."
        raise BasinError("The disk is gone.")

    monkeypatch.setattr("loops.api.generate.write", write)
    done = _basin("generate", _saved(checkpoints), "--number", 8, "--words", 600, "--round", 1)
    assert done.exit_code == 1 and "Round 1:| 8 of 600 words." in done.stdout
    assert "The disk is gone." in done.stderr
