"""`basin succeed`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from loops.arguments import ConfigName
from loops.lasting import exit_status


def succeed_command(
    config: ConfigName,
    name: Annotated[
        str | None,
        typer.Option(help="Folder among the runs; by default chain-CONFIG, which is gone on with."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
) -> None:
    """Hand a concept from model to model: each receives it, refines it in its own activations, and hands it on."""
    from agent.named_configs import find_config
    from loops.config import load_config
    from loops.progress import open_progress
    from loops.runs import named_path
    from loops.succession_measuring import measure_chain
    from loops.succession_table import show_chain
    from loops.successors import succeed

    config = find_config(config)
    resolved = load_config(config, settings or ())
    folder = named_path(name or f"chain-{config.stem}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    try:
        with open_progress(Console(stderr=True), folder / "chain.log") as progress:
            rows = succeed(resolved, folder, progress, config)
            measured = measure_chain(folder, rows, progress.say)
    except KeyboardInterrupt as stop:
        Console(stderr=True).print("\nStopped. The same command goes on from the last whole round.")
        raise typer.Exit(exit_status(stop)) from None
    show_chain(rows, measured, folder, Console())
