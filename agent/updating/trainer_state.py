"""The state of a training that was interrupted: kept every minute, known to be whole, and only then gone on from.

A trainer writes its state file by file into the folder that it will look for, so a kill leaves a folder that looks like a state
and is none. Here a list of sizes and hashes is written last; what has none, or does not hold to it, is not gone on from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import transformers

SECONDS_BETWEEN_SAVES = 60.0
"""What a kill may cost, and the step in hand."""
WHOLE = "whole.json"
STATE = re.compile(r"checkpoint-(\d+)")


class KeepsState(transformers.TrainerCallback):
    """Has the trainer keep its state when a minute has passed and at the end; older states go once the new one is whole.

    By the time that has passed and not by steps: how long a step takes depends on model, texts and machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.kept = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = time.monotonic() - self.kept >= SECONDS_BETWEEN_SAVES
        if due or state.global_step >= state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        own = self.folder / f"checkpoint-{state.global_step}"
        _seal(own)
        for step, other in _states(self.folder):
            if step != state.global_step:
                shutil.rmtree(other, ignore_errors=True)
        self.kept = time.monotonic()


def newest_state(folder: Path) -> Path | None:
    """The state of most steps that is whole, or None; the others are removed, or training would take them for its own."""
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


def _seal(state: Path) -> None:
    """Write the list of files, after them."""
    for file in _files(state):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    listed = {str(file.relative_to(state)): _describe(file) for file in _files(state)}
    draft = state / f".{WHOLE}"
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(listed, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, state / WHOLE)


def _is_whole(state: Path) -> bool:
    try:
        listed = json.loads((state / WHOLE).read_bytes())
        found = {str(file.relative_to(state)): _describe(file) for file in _files(state)}
    except (OSError, ValueError):
        return False
    return listed == found


def _files(state: Path) -> list[Path]:
    return sorted(file for file in state.rglob("*") if file.is_file() and file.name != WHOLE)


def _describe(file: Path) -> list[int | str]:
    with file.open("rb") as stream:
        return [file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()]
