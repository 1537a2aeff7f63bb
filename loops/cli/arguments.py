"""Arguments, completion and output that several commands share. Imports nothing slow."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.config import named_configs
from agent.errors import printable
from loops.checkpoint.find import list_runs


def complete_run(incomplete: str) -> list[str]:
    """Return names of runs with this prefix."""
    return [name for name in list_runs() if name.startswith(incomplete)]


def complete_config(incomplete: str) -> list[str]:
    """Return named configs, YAML files and folders with this prefix."""
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
        help="A YAML file, or the name of a config that comes with Basin, such as brown.",
        autocompletion=complete_config,
    ),
]
RoundNumber = Annotated[int | None, typer.Option("--round", min=0, help="Round; by default the newest.")]
AcceptModel = Annotated[
    bool, typer.Option("--accept-model", help="Go on with another model than the rounds were made with.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Processes that record, generate and follow starts.")
]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Spread the work over Ray: local, auto, or host:port.")
]


def overrides(
    settings: list[str] | None,
    *,
    rounds: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
) -> list[str]:
    """Return `--set` values and the options that stand for one, as `key=value` overrides."""
    options = {"rounds": rounds, "workers": workers, "ray": ray}
    return [*(settings or ()), *(f"{key}={value}" for key, value in options.items() if value is not None)]


def print_line(text: str, *, error: bool = False) -> None:
    """Print text as it is, without wrapping, styles or control characters."""
    Console(stderr=error).print(escape(printable(text)), highlight=False, soft_wrap=True)
