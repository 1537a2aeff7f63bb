"""`basin map`, `basin stitch`, `basin match` and `basin succeed`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from loops.cli.arguments import ConfigName, Ray, RoundNumber, RunName, Settings, Workers, print_line
from loops.cli.signals import exit_status


def map_basin(
    config: ConfigName,
    *,
    name: Annotated[
        str | None, typer.Option(help="Folder among the runs; by default map-CONFIG, which is continued.")
    ] = None,
    workers: Workers = None,
    ray: Ray = None,
    settings: Settings = None,
) -> None:
    """Follow hundreds of starting pointers to their fixed points, and measure the basins."""
    import os

    from agent.config import find_config
    from loops.basin_map.evaluate import measure_map
    from loops.basin_map.map import map_basin
    from loops.basin_map.table import show_map
    from loops.checkpoint.find import named_path
    from loops.config import MapConfig, load_wrapped
    from loops.monitor.progress import show_progress

    file = find_config(config)
    resolved = load_wrapped(MapConfig, file, settings or ())
    folder = named_path(name or f"map-{file.stem}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    spread = {"workers": workers or os.cpu_count() or 1, "ray": ray or resolved.run.ray}
    resolved = resolved.model_copy(update={"run": resolved.run.model_copy(update=spread)})
    with show_progress(Console(stderr=True)):
        found = map_basin(resolved, folder)
        measured = measure_map(found, folder)
    show_map(found, measured, folder, Console())


def stitch(
    run: RunName,
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="MODEL", help="An embedded model, a hub id or a folder.")
    ],
    round_number: RoundNumber = None,
    samples: Annotated[int, typer.Option(min=8, max=5_000, help="Passages generated per vector.")] = 48,
    nats: Annotated[
        float | None, typer.Option(min=1e-4, help="Strength in nats per token; by default the run's.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Carry a concept into another model by a map learned on general text, and test its arrival."""
    from loops.checkpoint.find import open_run
    from loops.config import stitching_config
    from loops.monitor.progress import show_progress
    from loops.transfer.evaluate import measure_stitch
    from loops.transfer.output import show_stitch
    from loops.transfer.stitch import carry, save_stitch
    from loops.transfer.stitch import stitch as carry_over

    store, config = open_run(run), stitching_config(settings or ())
    record = carry(store, round_number, to)
    with show_progress(Console(stderr=True)):
        found = carry_over(store, record, to, config, samples=samples, nats=nats)
        folder = save_stitch(found, store)
        measured = measure_stitch(found, store, folder)
    show_stitch(found, measured, folder, Console())


def match(
    run: RunName,
    *,
    into: Annotated[
        str,
        typer.Option(
            "--in", metavar="SPACE", help="A language model, `embedder`, `lda:COUNT` or `lda:COUNT:SEED`."
        ),
    ],
    round_number: RoundNumber = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="RUN", help="A run refined in that space, to compare with."),
    ] = None,
) -> None:
    """Find a run's concept in another model without a map, as the cluster with the largest overlap."""
    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.transfer.match import match, save_match
    from loops.transfer.output import show_match

    store = open_run(run)
    other = open_run(compare) if compare else None
    with show_progress(Console(stderr=True)):
        found = match(store, round_number, into, other)
        file = save_match(found, store)
    show_match(found, file, Console())


def succeed(
    config: ConfigName,
    *,
    name: Annotated[
        str | None, typer.Option(help="Folder among the runs; by default chain-CONFIG, which is continued.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Hand a concept from model to model: each receives it, refines it and hands it on."""
    from agent.config import find_config
    from loops.checkpoint.find import named_path
    from loops.config import ChainConfig, load_wrapped
    from loops.monitor.progress import show_progress
    from loops.transfer.chain import succeed
    from loops.transfer.evaluate import measure_chain
    from loops.transfer.output import show_chain

    file = find_config(config)
    resolved = load_wrapped(ChainConfig, file, settings or ())
    folder = named_path(name or f"chain-{file.stem}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with show_progress(Console(stderr=True), folder / "chain.log"):
            rows = succeed(resolved, folder, file)
            measured = measure_chain(folder, rows)
    except KeyboardInterrupt as stop:
        print_line("", error=True)
        print_line("Stopped. The same command continues from the last complete round.", error=True)
        raise typer.Exit(exit_status(stop)) from None
    show_chain(rows, measured, folder, Console())
