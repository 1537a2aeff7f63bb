"""The state of an interrupted training: kept every minute, and free of pickles.

A list of sizes and hashes is written last. A folder that lacks it or differs from it is removed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import transformers
from transformers import TrainerState
from transformers.trainer_callback import ExportableState

from agent.files.checked import MEGABYTE, DamagedError, parse_json, parse_tensors, read_inside
from agent.hub.pinned_packages import sha256_of

SECONDS_BETWEEN_SAVES = 60.0
"""Largest loss by a kill, besides the current step."""
WHOLE = "whole.json"
STATE = re.compile(r"checkpoint-(\d+)")
ARRAYS, NUMBERS, PROGRESS = "state.safetensors", "state.json", "trainer_state.json"
"""Adapter, moments and generators; optimiser and schedule; the trainer's progress."""
MOST_ARRAYS, MOST_NUMBERS = 8192 * MEGABYTE, 256 * MEGABYTE
ADAPTER, MOMENT = "adapter.", "moment."
GENERATOR, DEVICE_GENERATOR = "generator.cpu", "generator.cuda."
PROGRESS_FIELDS = {field.name for field in dataclasses.fields(TrainerState)}
INVALID = (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError)
"""Errors of torch, numpy and Python for a state of another training."""


class SaveState(transformers.TrainerCallback):
    """Save the trainer's state every minute and at the end, then remove older states."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = time.monotonic() - self.saved >= SECONDS_BETWEEN_SAVES
        if due or state.global_step >= state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seal(self.folder / f"checkpoint-{state.global_step}")
        for step, other in _states(self.folder):
            if step != state.global_step:
                shutil.rmtree(other, ignore_errors=True)
        self.saved = time.monotonic()


def newest_state(folder: Path) -> Path | None:
    """The complete state of most steps, or None; all others are removed."""
    newest = None
    for _, state in sorted(_states(folder), reverse=True):
        if newest is None and _is_whole(state):
            newest = state
        else:
            shutil.rmtree(state, ignore_errors=True)
    return newest


def _states(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    found = ((STATE.fullmatch(each.name), each) for each in folder.iterdir() if each.is_dir())
    return [(int(match[1]), each) for match, each in found if match]


def seal(state: Path) -> None:
    """Write the list of files last, which makes the state complete."""
    for file in _files(state):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    draft = state / f".{WHOLE}"
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(_listed(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, state / WHOLE)


def _is_whole(state: Path) -> bool:
    try:
        return bool(json.loads((state / WHOLE).read_bytes()) == _listed(state))
    except (OSError, ValueError):
        return False


def _files(state: Path) -> list[Path]:
    own = (WHOLE, f".{WHOLE}")
    return sorted(file for file in state.rglob("*") if file.is_file() and file.name not in own)


def _listed(state: Path) -> dict[str, list[int | str]]:
    """Size and hash of every file."""
    return {str(file.relative_to(state)): [file.stat().st_size, sha256_of(file)] for file in _files(state)}


class PlainState(transformers.Trainer):
    """A mixin that overrides every method of a trainer that writes or reads its state."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        from peft import get_peft_model_state_dict

        self.store_flos()
        folder = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        optimiser = self.optimizer.state_dict()
        arrays = {f"{ADAPTER}{name}": each for name, each in get_peft_model_state_dict(self.model).items()}
        for number, moments in optimiser["state"].items():
            arrays |= {f"{MOMENT}{number}.{name}": torch.as_tensor(each) for name, each in moments.items()}
        arrays[GENERATOR] = torch.random.get_rng_state()
        if torch.cuda.is_available():
            states = torch.cuda.get_rng_state_all()
            arrays |= {f"{DEVICE_GENERATOR}{number}": each for number, each in enumerate(states)}
        schedule = {key: each for key, each in self.lr_scheduler.state_dict().items() if key != "lr_lambdas"}
        kind, words, *rest = np.random.get_state(legacy=True)
        numbers = {
            "groups": optimiser["param_groups"],
            "schedule": schedule,
            "python": random.getstate(),
            "numpy": [kind, np.asarray(words).tolist(), *rest],
        }
        plain = {name: each.detach().cpu().contiguous().clone() for name, each in arrays.items()}
        (folder / ARRAYS).write_bytes(safetensors.torch.save(plain))
        (folder / NUMBERS).write_text(json.dumps(numbers, default=float), encoding="utf-8")
        for part in [*self.callback_handler.callbacks, self.control]:
            if isinstance(part, ExportableState):
                self.state.stateful_callbacks[type(part).__name__] = part.state()
        self.state.save_to_json(str(folder / PROGRESS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the adapter. Called first, so it checks the progress that the trainer reads."""
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        _check_progress(resume_from_checkpoint)
        arrays = _arrays(resume_from_checkpoint)
        found = {
            name.removeprefix(ADAPTER): each for name, each in arrays.items() if name.startswith(ADAPTER)
        }
        own = get_peft_model_state_dict(self.model)
        if {name: each.shape for name, each in found.items()} != {
            name: each.shape for name, each in own.items()
        }:
            raise DamagedError(f"{ARRAYS} is of another adapter")
        set_peft_model_state_dict(
            self.model, {name: each.to(own[name].device, own[name].dtype) for name, each in found.items()}
        )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        arrays, numbers = _arrays(checkpoint), _numbers(checkpoint)
        try:
            state: dict[int, dict[str, Any]] = {}
            for name, each in arrays.items():
                if name.startswith(MOMENT):
                    number, _, kind = name.removeprefix(MOMENT).partition(".")
                    state.setdefault(int(number), {})[kind] = each
            self._check_moments(state)
            groups = [
                {key: tuple(each) if key == "betas" else each for key, each in group.items()}
                for group in numbers["groups"]
            ]
            self.optimizer.load_state_dict({"state": state, "param_groups": groups})
            kept, own = numbers["schedule"], self.lr_scheduler.state_dict()
            if kept.keys() != own.keys() - {"lr_lambdas"}:
                raise ValueError("another schedule")
            self.lr_scheduler.load_state_dict({**kept, "lr_lambdas": [None] * len(own["lr_lambdas"])})
        except INVALID as error:
            raise DamagedError(f"{NUMBERS} is of another training ({error})") from None

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        arrays, numbers = _arrays(checkpoint), _numbers(checkpoint)
        try:
            version, words, gauss = numbers["python"]
            kind, state, *rest = numbers["numpy"]
            random.setstate((version, tuple(words), gauss))
            np.random.set_state((kind, np.array(state, dtype=np.uint32), *rest))
            torch.random.set_rng_state(arrays[GENERATOR])
            if torch.cuda.is_available() and f"{DEVICE_GENERATOR}0" in arrays:
                count = torch.cuda.device_count()
                torch.cuda.set_rng_state_all([arrays[f"{DEVICE_GENERATOR}{at}"] for at in range(count)])
        except INVALID as error:
            raise DamagedError(f"{NUMBERS} has no state of the generators ({error})") from None

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is no scaler: the adapter trains in float32."""

    def _check_moments(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        own = [each for group in self.optimizer.param_groups for each in group["params"]]
        for number, moments in state.items():
            shapes = {tuple(each.shape) for name, each in moments.items() if name != "step"}
            if shapes - {tuple(own[number].shape)}:
                raise ValueError("moments of another adapter")


def _arrays(folder: str) -> dict[str, Any]:
    return parse_tensors(read_inside(Path(folder), ARRAYS, MOST_ARRAYS), ARRAYS)


def _numbers(folder: str) -> dict[str, Any]:
    tree = parse_json(read_inside(Path(folder), NUMBERS, MOST_NUMBERS), NUMBERS)
    if not isinstance(tree, dict) or tree.keys() != {"groups", "schedule", "python", "numpy"}:
        raise DamagedError(f"{NUMBERS} is no state of a trainer")
    return tree


def _check_progress(folder: str) -> None:
    tree = parse_json(read_inside(Path(folder), PROGRESS, MOST_NUMBERS), PROGRESS)
    counts = ("global_step", "max_steps")
    if (
        not isinstance(tree, dict)
        or not tree.keys() <= PROGRESS_FIELDS
        or not all(type(tree.get(name)) is int and tree[name] >= 0 for name in counts)
        or os.path.basename(folder) != f"checkpoint-{tree['global_step']}"
        or not isinstance(tree.get("log_history"), list)
        or not all(isinstance(row, dict) for row in tree["log_history"])
        or not isinstance(tree.get("stateful_callbacks"), dict)
    ):
        raise DamagedError(f"{PROGRESS} is no progress of a trainer")
