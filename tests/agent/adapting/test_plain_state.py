"""A trainer's state is arrays and JSON, is gone on from to the bit, and no pickle in its place is ever opened."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from planted_adapters import taught

from agent.adapting import trainer_state
from agent.adapting.trainer_state import ARRAYS, NUMBERS, PROGRESS, WHOLE, KeepsState
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
        taught(tmp_path / "cut")
    monkeypatch.undo()
    (state,) = tmp_path.glob("cut/*/checkpoint-3")
    return state


def kill(monkeypatch, after: int) -> None:
    seal = KeepsState.on_save

    def dying(self, args, state, control, **kwargs):
        seal(self, args, state, control, **kwargs)
        if state.global_step == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(KeepsState, "on_save", dying)


def seal_again(state: Path) -> None:
    (state / WHOLE).unlink()
    trainer_state._seal(state)


def test_nothing_in_a_kept_state_is_a_pickle(kept):
    assert {file.name for file in kept.iterdir()} == {ARRAYS, NUMBERS, PROGRESS, WHOLE}
    for file in kept.iterdir():
        assert not file.read_bytes().startswith((b"\x80", b"PK"))


def test_it_is_gone_on_from_to_the_bit(kept, tmp_path):
    adapter, history = taught(tmp_path / "cut")
    whole, rows = taught(tmp_path / "whole")
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
        with pytest.raises(BasinError, match="it was removed, and a resume begins that training anew"):
            taught(tmp_path / "cut")
        assert not kept.exists()
    taught(tmp_path / "cut")
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
def test_a_state_that_cannot_be_meant_is_one_sentence(kept, tmp_path, changed):
    file = kept / NUMBERS
    file.write_text(json.dumps(changed(json.loads(file.read_text()))))
    seal_again(kept)
    with pytest.raises(BasinError, match="is none .*it was removed"):
        taught(tmp_path / "cut")
    assert taught(tmp_path / "cut")[0].digest == taught(tmp_path / "whole")[0].digest
