"""A training state is complete or unused, resumes to the same bytes, and is never a pickle."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from planted_adapters import trained

from agent.adapting import trainer, trainer_state
from agent.adapting.trainer_state import ARRAYS, NUMBERS, PROGRESS, WHOLE, SaveState, newest_state
from agent.errors import BasinError


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """The state that a training leaves when it is killed after its third step."""
    monkeypatch.setattr(trainer_state, "SECONDS_BETWEEN_SAVES", 0)
    kill(monkeypatch, after=3)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut")
    monkeypatch.undo()
    (state,) = tmp_path.glob("cut/*/checkpoint-3")
    return state


def kill(monkeypatch, after: int) -> None:
    seal = SaveState.on_save

    def dying(self, args, state, control, **kwargs):
        seal(self, args, state, control, **kwargs)
        if state.global_step == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(SaveState, "on_save", dying)


def seal_again(state: Path) -> None:
    (state / WHOLE).unlink()
    trainer_state.seal(state)


def test_nothing_in_a_kept_state_is_a_pickle(kept):
    assert {file.name for file in kept.iterdir()} == {ARRAYS, NUMBERS, PROGRESS, WHOLE}
    for file in kept.iterdir():
        assert not file.read_bytes().startswith((b"\x80", b"PK"))


def test_a_killed_training_resumes_after_its_last_step_to_the_same_bytes(kept, tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(trainer, "advance", lambda stage, done, total, unit: steps.append(done))
    adapter, history = trained(tmp_path / "cut")
    assert steps == [4, 5, 6]
    whole, rows = trained(tmp_path / "whole")
    assert adapter.digest == whole.digest
    assert [row["loss"] for row in history] == [row["loss"] for row in rows]


@pytest.mark.parametrize(
    "name",
    [
        *("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "training_args.bin"),
        *("pytorch_model.bin", "adapter_model.bin", "state.safetensors", "state.json", "trainer_state.json"),
    ],
)
def test_a_pickle_in_its_place_is_never_opened(kept, tmp_path, name):
    trap = tmp_path / "trapped"
    torch.save(Trap(trap), kept / name)
    (kept / f"{name}.2").write_bytes(pickle.dumps(Trap(trap)))
    seal_again(kept)
    if name in (ARRAYS, NUMBERS, PROGRESS):
        with pytest.raises(BasinError, match="it was removed, and a resume starts that training anew"):
            trained(tmp_path / "cut")
        assert not kept.exists()
    trained(tmp_path / "cut")
    assert not trap.exists()
    torch.load(_saved(trap, tmp_path / "trap.pt"), weights_only=False)
    assert trap.exists(), "the trap works"


def _saved(trap: Path, file: Path) -> Path:
    torch.save(Trap(trap), file)
    return file


@pytest.mark.parametrize(
    "changed",
    [
        lambda tree: {**tree, "groups": []},
        lambda tree: {**tree, "groups": [{"lr": "fast"}]},
        lambda tree: {**tree, "schedule": {"last_epoch": 3}},
        lambda tree: {**tree, "python": [3, [1, 2], None]},
        lambda tree: {**tree, "numpy": ["MT19937", [1], 0, 0, 0.0]},
        lambda tree: {**tree, "more": 1},
        lambda tree: [],
    ],
)
def test_an_impossible_state_is_refused_in_a_sentence(kept, tmp_path, changed):
    file = kept / NUMBERS
    file.write_text(json.dumps(changed(json.loads(file.read_text()))))
    seal_again(kept)
    with pytest.raises(BasinError, match="is damaged .*it was removed"):
        trained(tmp_path / "cut")
    assert trained(tmp_path / "cut")[0].digest == trained(tmp_path / "whole")[0].digest


def keep(folder, step: int, sealed: bool = True):
    state = folder / f"checkpoint-{step}"
    (state / "inner").mkdir(parents=True)
    (state / "optimizer.pt").write_bytes(b"moments")
    (state / "inner" / "weights").write_bytes(bytes(step))
    if sealed:
        SaveState(folder).on_save(None, SimpleNamespace(global_step=step), None)
    return state


def test_the_newest_whole_state_is_found_and_half_ones_are_removed(tmp_path):
    whole = keep(tmp_path, 9)
    half = keep(tmp_path, 10, sealed=False)
    assert newest_state(tmp_path) == whole and not half.exists()
    assert newest_state(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: (state / "optimizer.pt").write_bytes(b"momentS"),
        lambda state: (state / "optimizer.pt").unlink(),
        lambda state: (state / "inner" / "weights").write_bytes(b""),
        lambda state: (state / "more").write_bytes(b"?"),
        lambda state: (state / WHOLE).write_bytes(b"{"),
        lambda state: (state / WHOLE).write_bytes(b"[]"),
    ],
)
def test_a_damaged_state_is_not_resumed(tmp_path, damage):
    state = keep(tmp_path, 3)
    assert newest_state(tmp_path) == state
    damage(state)
    assert newest_state(tmp_path) is None and not state.exists()


def test_the_state_of_more_steps_stays_whatever_the_clock_says(tmp_path):
    first = keep(tmp_path, 4)
    os.utime(first, (2**32, 2**32))  # the clock was set back after it
    second = keep(tmp_path, 5)
    assert newest_state(tmp_path) == second and not first.exists()


@pytest.mark.parametrize(("seconds", "steps"), [(0, [1, 2, 3]), (1e9, [3])])
def test_states_are_saved_by_time_and_at_the_end(tmp_path, monkeypatch, seconds, steps):
    monkeypatch.setattr(trainer_state, "SECONDS_BETWEEN_SAVES", seconds)
    keeps, asked = SaveState(tmp_path), []
    keeps.on_train_begin(None, None, None)
    for step in (1, 2, 3):
        control = transformers.TrainerControl()
        keeps.on_step_end(None, SimpleNamespace(global_step=step, max_steps=3), control)
        asked += [step] if control.should_save else []
    assert asked == steps
