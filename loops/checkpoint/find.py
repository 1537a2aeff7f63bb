"""Finding runs by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import BasinError, shortened

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore

LONGEST_NAME = 200
"""Bytes; file systems allow 255, and files beside a run have longer names."""


def checkpoints_folder() -> Path:
    """The folder of all runs: `BASIN_CHECKPOINTS`, else `checkpoints` in the working directory."""
    return Path(os.environ.get("BASIN_CHECKPOINTS") or "checkpoints").expanduser()


def list_runs() -> list[str]:
    """Names of all runs in the checkpoints folder."""
    return sorted(file.parent.name for file in checkpoints_folder().glob("*/run.json"))


def find_run(name: str) -> Path:
    """The folder of a run, by its name or path; raises `BasinError` with the nearest names."""
    for folder in (checkpoints_folder() / name, _expanded(name)):
        if name and os.path.exists(folder):  # Path.exists raises for impossible names
            return folder
    runs = list_runs()
    near = difflib.get_close_matches(name[:LONGEST_NAME], runs, n=3, cutoff=0.4) or runs[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "`basin run CONFIG` starts one."
    raise BasinError(f"There is no run {shortened(name, LONGEST_NAME)!r} in {checkpoints_folder()}; {hint}")


def open_run(name: str) -> RunStore:
    """A run, by its name or path; prints warnings about damage.

    Raises:
        BasinError: there is no such run, or as `RunStore.open`.
    """
    from rich.console import Console
    from rich.markup import escape

    from agent.errors import printable
    from loops.checkpoint.store import RunStore  # slow to import

    store = RunStore.open(find_run(name))
    damaged = [
        f"Round {number} of {store.name} is damaged: `basin verify {store.name}` says how, `basin resume {store.name}` sets a "
        "newest one aside."
        for number in store.damaged()
    ]
    console = Console(stderr=True)
    for warning in filter(None, (store.warning, *damaged)):
        text = f"[bold yellow]Warning:[/] {escape(printable(warning))}"
        console.print(text, soft_wrap=True, highlight=False)
    return store


def named_path(name: str) -> Path:
    """The folder for a new run; a name with a slash is a path. Raises `BasinError`."""
    path = _expanded(name) if os.sep in name else checkpoints_folder() / name
    last = path.name
    odd = last.strip(". ") == "" or last.startswith("-") or not last.isprintable()
    if odd or "\0" in name or len(os.fsencode(last)) > LONGEST_NAME:
        raise BasinError(
            f"{shortened(name, LONGEST_NAME)!r} is no name for a run; take letters, digits, '-', '_' and '.', at most "
            f"{LONGEST_NAME} of them."
        )
    return path


def _expanded(name: str) -> Path:
    return Path(os.path.expanduser(name))


def fresh_path(name: str) -> Path:
    """`named_path(name)`, with `-2`, `-3` ... appended if a run with rounds has that folder."""
    path, attempt = named_path(name), 1
    while path.exists() and (any(path.glob("round_*")) or not (path / "run.json").exists()):
        attempt += 1
        path = path.with_name(f"{Path(name).name}-{attempt}")
    return path
