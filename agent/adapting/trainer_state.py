"""The state of an interrupted training: kept every minute, and free of pickles.

A state is a folder of two files, named after its step and the hash of its content. The learning
rate and the order of the batches are not stored, since they follow from the step.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from pydantic import BaseModel, NonNegativeInt
from torch import Tensor
from transformers import TrainerState

from agent.errors import first_sentence
from agent.files.checked import MEGABYTE, DamagedError, parse_json, parse_tensors, read_inside

SECONDS_BETWEEN_SAVES = 60.0
"""Largest loss by a kill, besides the current step."""
STATE = re.compile(r"checkpoint-(\d+)-[0-9a-f]{16}")
ARRAYS, PROGRESS = "state.safetensors", "trainer_state.json"
"""Adapter, moments of the optimiser and generators; the trainer's progress, in its own format."""
MOST_ARRAYS, MOST_PROGRESS = 8192 * MEGABYTE, 256 * MEGABYTE
ADAPTER, MOMENT, GENERATOR = "adapter.", "moment.", "generator."


class SaveState(transformers.TrainerCallback):
    """Ask for a state every minute and at the end."""

    def __init__(self) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = time.monotonic() - self.saved >= SECONDS_BETWEEN_SAVES
        if due or state.global_step >= state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.saved = time.monotonic()


def newest_state(folder: Path) -> Path | None:
    """The undamaged state of most steps, or None; all others are removed."""
    newest = None
    for _, state in sorted(_states(folder), reverse=True):
        if newest is None and _is_whole(state):
            newest = state
        else:
            shutil.rmtree(state, ignore_errors=True)
    return newest


def _states(folder: Path) -> Iterator[tuple[int, Path]]:
    for each in list(folder.iterdir()) if folder.is_dir() else []:
        if match := STATE.fullmatch(each.name):
            yield int(match[1]), each


def _is_whole(state: Path) -> bool:
    try:
        return state.name.endswith(_digest(state))
    except DamagedError:
        return False


def _digest(state: Path) -> str:
    digest = hashlib.sha256(read_inside(state, ARRAYS, MOST_ARRAYS))
    digest.update(read_inside(state, PROGRESS, MOST_PROGRESS))
    return digest.hexdigest()[:16]


class PlainState(transformers.Trainer):
    """A mixin that overrides every method of a trainer that writes or reads its state."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        from peft import get_peft_model_state_dict

        if not self.is_world_process_zero():
            return
        arrays = {f"{ADAPTER}{name}": each for name, each in get_peft_model_state_dict(self.model).items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"{MOMENT}{number}.{name}": torch.as_tensor(each) for name, each in moments.items()}
        arrays |= {f"{GENERATOR}{name}": each for name, each in _generators().items()}
        plain = {name: each.detach().cpu().contiguous().clone() for name, each in arrays.items()}
        folder = Path(self.args.output_dir)
        draft = folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        (draft / ARRAYS).write_bytes(safetensors.torch.save(plain))
        self.state.save_to_json(str(draft / PROGRESS))
        for name in (ARRAYS, PROGRESS):
            with (draft / name).open("rb") as stream:
                os.fsync(stream.fileno())
        state = folder / f"checkpoint-{self.state.global_step}-{_digest(draft)}"
        os.replace(draft, state)
        for _, other in _states(folder):
            if other != state:
                shutil.rmtree(other, ignore_errors=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the adapter. Called first, so it checks the progress that the trainer reads."""
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        tree = parse_json(read_inside(Path(resume_from_checkpoint), PROGRESS, MOST_PROGRESS), PROGRESS)
        found, own = _arrays(resume_from_checkpoint, ADAPTER), get_peft_model_state_dict(self.model)
        with _of_this_training():
            _Progress.model_validate(tree, strict=True)
            TrainerState(**tree)
            if found.keys() != own.keys():
                raise ValueError("other weights are adapted")
            for name, each in found.items():
                found[name] = _like(own[name], each)
            set_peft_model_state_dict(self.model, found)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        own = [each for group in self.optimizer.param_groups for each in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {number: {} for number in range(len(own))}
        with _of_this_training():
            for name, each in _arrays(checkpoint, MOMENT).items():
                number, _, kind = name.partition(".")
                moments[int(number)][kind] = each if kind == "step" else _like(own[int(number)], each)
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.lr_scheduler.last_epoch = self.state.global_step - 1
        self.lr_scheduler.step()

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        with _of_this_training():
            found = _arrays(checkpoint, GENERATOR)
            torch.random.set_rng_state(found["cpu"])
            devices = [found[name] for name in _generators() if name in found and name != "cpu"]
            if devices:
                torch.cuda.set_rng_state_all(devices)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is no scaler: the adapter trains in float32."""


class _Progress(BaseModel):
    """The fields of `TrainerState` that a resumed training reads."""

    global_step: NonNegativeInt
    max_steps: NonNegativeInt
    log_history: list[dict[str, float]]
    stateful_callbacks: dict[str, Any]


def _generators() -> dict[str, Tensor]:
    """The states of torch's generators, by device."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.random.get_rng_state()} | {f"cuda.{at}": each for at, each in enumerate(devices)}


def _arrays(folder: str, kind: str) -> dict[str, Tensor]:
    """Arrays of one kind, by name without the kind."""
    arrays = parse_tensors(read_inside(Path(folder), ARRAYS, MOST_ARRAYS), ARRAYS)
    return {name.removeprefix(kind): each for name, each in arrays.items() if name.startswith(kind)}


def _like(own: Tensor, found: Tensor) -> Tensor:
    if found.shape != own.shape:
        raise ValueError(f"a shape of {tuple(found.shape)} instead of {tuple(own.shape)}")
    return found.to(own.device, own.dtype)


@contextmanager
def _of_this_training() -> Iterator[None]:
    """Report errors of torch, pydantic and Python for a state of another training."""
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise DamagedError(f"it is of another training ({first_sentence(error)})") from None
