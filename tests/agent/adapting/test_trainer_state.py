"""A killed training resumes to the same bytes, and never from a pickle or a damaged state."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import transformers
from planted_adapters import trained
from planted_forgery import Trap

from agent.adapting import trainer, trainer_state
from agent.adapting.trainer_state import ARRAYS, PROGRESS, PlainState, SaveState, newest_state
from agent.errors import BasinError


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """The state that a training leaves when it is killed after its third step."""
    monkeypatch.setattr(trainer_state, "SECONDS_BETWEEN_SAVES", 0)
    save = PlainState._save_checkpoint

    def dying(self, model, trial):
        save(self, model, trial)
        if self.state.global_step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(PlainState, "_save_checkpoint", dying)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut")
    monkeypatch.undo()
    (state,) = tmp_path.glob("cut/*/*")
    return state


def seal_again(state: Path) -> Path:
    return state.rename(state.with_name(f"checkpoint-3-{trainer_state._digest(state)}"))


def test_a_killed_training_resumes_after_its_last_step_to_the_same_bytes(kept, tmp_path, monkeypatch):
    assert {file.name for file in kept.iterdir()} == {ARRAYS, PROGRESS}
    steps = []
    monkeypatch.setattr(trainer, "advance", lambda stage, done, total, unit: steps.append(done))
    adapter, history = trained(tmp_path / "cut")
    assert steps == [4, 5, 6]
    whole, rows = trained(tmp_path / "whole")
    assert adapter.digest == whole.digest
    names = ("step", "loss", "learning_rate", "eval_member_loss", "eval_other_loss")
    assert [[row.get(name) for name in names] for row in history] == [
        [row.get(name) for name in names] for row in rows
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "training_args.bin"),
        *("pytorch_model.bin", "adapter_model.bin", ARRAYS, PROGRESS),
    ],
)
def test_a_pickle_in_its_place_is_never_opened(kept, tmp_path, name):
    trap, copy = tmp_path / "trapped", tmp_path / "trap.pt"
    torch.save(Trap(trap), kept / name)
    (kept / f"{name}.2").write_bytes(pickle.dumps(Trap(trap)))
    torch.save(Trap(trap), copy)
    state = seal_again(kept)
    if name in (ARRAYS, PROGRESS):
        with pytest.raises(BasinError, match="it was removed, and a resume starts that training anew"):
            trained(tmp_path / "cut")
        assert not state.exists()
    trained(tmp_path / "cut")
    assert not trap.exists()
    torch.load(copy, weights_only=False)
    assert trap.exists(), "the trap works"


@pytest.mark.parametrize(
    "changed",
    [
        lambda tree, arrays: tree.update(global_step="3"),
        lambda tree, arrays: tree.update(global_step=-1),
        lambda tree, arrays: tree.update(log_history=None),
        lambda tree, arrays: tree.update(more=1),
        lambda tree, arrays: arrays.pop("generator.cpu"),
        lambda tree, arrays: arrays.update({"generator.cpu": torch.zeros(3)}),
        lambda tree, arrays: arrays.update({"moment.0.exp_avg": torch.zeros(3)}),
        lambda tree, arrays: arrays.update({"moment.99.exp_avg": torch.zeros(3)}),
        lambda tree, arrays: arrays.update({"adapter.more": torch.zeros(3)}),
    ],
)
def test_a_state_of_another_training_is_refused_in_a_sentence(kept, tmp_path, changed):
    tree = json.loads((kept / PROGRESS).read_text())
    arrays = safetensors.torch.load_file(kept / ARRAYS)
    changed(tree, arrays)
    (kept / PROGRESS).write_text(json.dumps(tree))
    (kept / ARRAYS).write_bytes(safetensors.torch.save(arrays))
    seal_again(kept)
    with pytest.raises(BasinError, match="is damaged .*it was removed"):
        trained(tmp_path / "cut")
    assert newest_state(next((tmp_path / "cut").iterdir())) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: (state / ARRAYS).write_bytes(b"momentS"),
        lambda state: (state / ARRAYS).unlink(),
        lambda state: (state / PROGRESS).write_bytes((state / PROGRESS).read_bytes()[:-9]),
        lambda state: (state / PROGRESS).rename(state / "elsewhere"),
    ],
)
def test_the_newest_undamaged_state_is_found_and_others_are_removed(kept, damage):
    older = kept.with_name(kept.name.replace("-3-", "-2-"))
    older.mkdir()
    for file in (ARRAYS, PROGRESS):
        (older / file).write_bytes((kept / file).read_bytes())
    damage(kept)
    assert newest_state(kept.parent) == older and not kept.exists()
    assert newest_state(kept.parent / "nowhere") is None


@pytest.mark.parametrize(("seconds", "steps"), [(0, [1, 2, 3]), (1e9, [3])])
def test_states_are_saved_by_time_and_at_the_end(monkeypatch, seconds, steps):
    monkeypatch.setattr(trainer_state, "SECONDS_BETWEEN_SAVES", seconds)
    keeps, asked = SaveState(), []
    for step in (1, 2, 3):
        control = transformers.TrainerControl()
        keeps.on_step_end(None, SimpleNamespace(global_step=step, max_steps=3), control)
        asked += [step] if control.should_save else []
    assert asked == steps
