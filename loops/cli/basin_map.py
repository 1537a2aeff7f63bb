"""`basin map`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from loops.cli.arguments import ConfigName


def map_command(
    config: ConfigName,
    name: Annotated[
        str | None, typer.Option(help="Folder among the runs; by default map-CONFIG, which is gone on with.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; by default one a core.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Spread the starts over Ray: local, auto, or host:port."),
    ] = None,
    full: Annotated[
        list[str] | None,
        typer.Option(
            "--full", metavar="START", help="Let this start flow with generation, too; may be repeated. Slow."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
) -> None:
    """Follow hundreds of starting pointers to where they flow: which basins there are, and how good is good enough."""
    import os

    from agent.config import find_config
    from loops.basin_map.evaluate import measure_map
    from loops.basin_map.full_flow import full_flows
    from loops.basin_map.map import map_basin
    from loops.basin_map.table import show_full, show_map
    from loops.checkpoint.find import named_path
    from loops.config import MapConfig, load_wrapped
    from loops.monitor.progress import show_progress

    config = find_config(config)
    resolved = load_wrapped(MapConfig, config, settings or ())
    spread = {"workers": workers or os.cpu_count() or 1, "ray": ray or resolved.run.ray}
    resolved = resolved.model_copy(update={"run": resolved.run.model_copy(update=spread)})
    folder = named_path(name or f"map-{config.stem}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with show_progress(Console(stderr=True)):
        found = map_basin(resolved, folder, wanted=full or ())
        measured = measure_map(found, folder)
        rows = full_flows(found, full, folder) if full else []
    show_map(found, measured, folder, Console())
    show_full(rows, Console())
