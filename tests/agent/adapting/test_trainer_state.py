"""Only a state that was kept whole is gone on from, whatever a kill, a full disk or a turned-back clock left behind."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import transformers

from agent.adapting import trainer_state
from agent.adapting.trainer_state import WHOLE, KeepsState, newest_state


def keep(folder, step: int, sealed: bool = True):
    state = folder / f"checkpoint-{step}"
    (state / "inner").mkdir(parents=True)
    (state / "optimizer.pt").write_bytes(b"moments")
    (state / "inner" / "weights").write_bytes(bytes(step))
    if sealed:
        KeepsState(folder).on_save(None, SimpleNamespace(global_step=step), None)
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
def test_a_damaged_state_is_not_gone_on_from(tmp_path, damage):
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
def test_it_is_kept_by_time_and_at_the_end(tmp_path, monkeypatch, seconds, steps):
    monkeypatch.setattr(trainer_state, "SECONDS_BETWEEN_SAVES", seconds)
    keeps, asked = KeepsState(tmp_path), []
    keeps.on_train_begin(None, None, None)
    for step in (1, 2, 3):
        control = transformers.TrainerControl()
        keeps.on_step_end(None, SimpleNamespace(global_step=step, max_steps=3), control)
        asked += [step] if control.should_save else []
    assert asked == steps
