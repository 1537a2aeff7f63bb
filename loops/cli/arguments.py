"""Arguments that several commands share, and what the shell completes them with. Imports nothing slow."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer

from agent.config import named_configs
from loops.checkpoint.find import list_runs


def complete_run(incomplete: str) -> list[str]:
    """Names of runs that begin as typed."""
    return [name for name in list_runs() if name.startswith(incomplete)]


def complete_config(incomplete: str) -> list[str]:
    """Named experiments, and YAML files and folders, that begin as typed."""
    named = [name for name in named_configs() if name.startswith(incomplete)]
    typed = Path(incomplete).expanduser()
    begin = str(typed) + ("/" if incomplete.endswith("/") else "")
    found = sorted(map(Path, glob.glob(f"{glob.escape(begin)}*")))
    files = [str(path) for path in found if path.suffix in (".yaml", ".yml")]
    return [*named, *files, *(f"{path}/" for path in found if path.is_dir())]


RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Name of a run in the checkpoints folder, or its path.",
        autocompletion=complete_run,
    ),
]
ConfigName = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="A YAML file, or the name of an experiment that comes with Basin, such as brown.",
        autocompletion=complete_config,
    ),
]
