"""`basin run` and `basin resume`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from loops.cli.arguments import (
    AcceptModel,
    ConfigName,
    Ray,
    RunName,
    Settings,
    Workers,
    overrides,
    print_line,
)
from loops.cli.signals import exit_status

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore

MaximumRounds = Annotated[int | None, typer.Option(min=1, help="At most this many rounds in total.")]


def run(
    config: ConfigName,
    *,
    name: Annotated[
        str | None, typer.Option(help="By default the config's name, numbered when it is taken.")
    ] = None,
    rounds: MaximumRounds = None,
    workers: Workers = None,
    ray: Ray = None,
    settings: Settings = None,
) -> None:
    """Start a run: point at a topic, then refine it until the concept stops moving."""
    from agent.config import find_config
    from loops.checkpoint.find import fresh_path, named_path
    from loops.checkpoint.store import RunStore
    from loops.config import load_config

    changes = overrides(settings, rounds=rounds, workers=workers, ray=ray)
    file = find_config(config)
    resolved = load_config(file, changes)
    path = named_path(name) if name is not None else fresh_path(file.stem)
    store = RunStore.create(path, resolved, file, changes)
    _work(store, f"Run {store.name} in {store.path}")


def resume(
    run: RunName,
    *,
    rounds: MaximumRounds = None,
    workers: Workers = None,
    ray: Ray = None,
    accept_model: AcceptModel = False,
) -> None:
    """Continue from the last complete round, with the settings that the run began with."""
    from loops.checkpoint.find import find_run
    from loops.checkpoint.store import RunStore

    store = RunStore.open(find_run(run))
    spread = {key: value for key, value in (("workers", workers), ("ray", ray)) if value is not None}
    store = replace(store, config=store.config.model_copy(update=spread))
    _work(store, f"Run {store.name} goes on, with the settings it began with", rounds, accept_model)


def _work(store: RunStore, message: str, until: int | None = None, accept_model: bool = False) -> None:
    from loops.api.session import rounds_kept, work_on

    try:
        work_on(store, message, Console(), until, accept_model)
    except KeyboardInterrupt as stop:
        print_line("", error=True)
        print_line(f"Stopped. {rounds_kept(store)}; `basin resume {store.name}` continues.", error=True)
        raise typer.Exit(exit_status(stop)) from None
