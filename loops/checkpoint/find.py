"""Finding runs by name, and what the file that one began from says now."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import BasinError, shortened

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore

LONGEST_NAME = 200
"""Bytes; file systems allow 255, and what is written beside a run has longer names."""


def checkpoints_folder() -> Path:
    """Where runs land: `BASIN_CHECKPOINTS`, else `checkpoints` in the working directory."""
    return Path(os.environ.get("BASIN_CHECKPOINTS") or "checkpoints").expanduser()


def list_runs() -> list[str]:
    """Names of all runs in the checkpoints folder."""
    return sorted(file.parent.name for file in checkpoints_folder().glob("*/run.json"))


def find_run(name: str) -> Path:
    """The folder of a run that was named, or given as a path.

    Raises:
        BasinError: there is none; the nearest names are given.
    """
    for folder in (checkpoints_folder() / name, _spelt_out(name)):
        if name and os.path.exists(folder):  # unlike Path.exists, takes a name that cannot be one
            return folder
    runs = list_runs()
    near = difflib.get_close_matches(name[:LONGEST_NAME], runs, n=3, cutoff=0.4) or runs[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "`basin run CONFIG` starts one."
    raise BasinError(f"There is no run {shortened(name, LONGEST_NAME)!r} in {checkpoints_folder()}; {hint}")


def open_run(name: str) -> RunStore:
    """The run that was named, or given as a path; what was damaged in it and could be made up for is told.

    Raises:
        BasinError: there is none, or as `RunStore.open`.
    """
    from rich.console import Console
    from rich.markup import escape

    from agent.errors import printable
    from loops.checkpoint.store import RunStore  # slow, and who only looks for a run does without

    store = RunStore.open(find_run(name))
    told = [
        f"Round {number} of {store.name} is damaged: `basin verify {store.name}` says how, `basin resume {store.name}` sets a "
        "newest one aside."
        for number in store.broken()
    ]
    for remark in (*store.remarks, *told):
        Console(stderr=True).print(
            f"[bold yellow]Warning:[/] {escape(printable(remark))}", soft_wrap=True, highlight=False
        )
    return store


def named_path(name: str) -> Path:
    """The folder for a new run of this name; a name with a slash is a path of its own.

    Raises:
        BasinError: the name cannot be a folder's.
    """
    path = _spelt_out(name) if os.sep in name else checkpoints_folder() / name
    last = path.name
    odd = last.strip(". ") == "" or last.startswith("-") or not last.isprintable()
    if odd or "\0" in name or len(os.fsencode(last)) > LONGEST_NAME:
        raise BasinError(
            f"{shortened(name, LONGEST_NAME)!r} is no name for a run; take letters, digits, '-', '_' and '.', at most "
            f"{LONGEST_NAME} of them."
        )
    return path


def _spelt_out(name: str) -> Path:
    """The path, `~` replaced where that is somebody's home."""
    return Path(os.path.expanduser(name))


def fresh_path(name: str) -> Path:
    """`named_path(name)`, or with `-2`, `-3` ... appended where that folder is taken by a run with rounds."""
    path, attempt = named_path(name), 1
    while path.exists() and (any(path.glob("round_*")) or not (path / "run.json").exists()):
        attempt += 1
        path = path.with_name(f"{Path(name).name}-{attempt}")
    return path


def heed_file(store: RunStore) -> RunStore:
    """The run with what the config file that it began from says of loggers and pages now; refused where it differs otherwise.

    A file that is gone is no objection: the run has its own copy.

    Raises:
        BasinError: naming every setting that differs, or that the file is no longer valid.
    """
    from loops.config import load_config  # slow, and who only looks for a run does without

    about = store.about
    file = Path(about["config_file"]) if about.get("config_file") else None
    if file is None or not file.is_file():
        return store
    overrides = [override for override in about["overrides"] if not override.startswith("rounds=")]
    try:
        config = load_config(file, overrides)
        store.check_config(config)
    except BasinError as error:
        raise BasinError(
            f"{file} is not what {store.name} began with: {str(error).rstrip('.')}; --as-begun goes on "
            "with the run's own copy."
        ) from None
    return replace(
        store, config=store.config.model_copy(update={"logging": config.logging, "report": config.report})
    )
