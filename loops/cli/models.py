"""`basin map`, `basin stitch`, `basin match` and `basin succeed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import BasinError, printable
from loops.cli.arguments import ConfigName, Ray, RoundNumber, RunName, Settings, Workers, print_line
from loops.cli.signals import exit_status

if TYPE_CHECKING:
    from agent.judging.gold import GoldLabels
    from loops.checkpoint.store import RunStore
    from loops.transfer.match import Matched
    from loops.transfer.stitch import Stitching
    from loops.transfer.trials import Pair

SHOWN_CANDIDATES = 6
MATCH_COLUMNS = (
    ("overlap", "soft_jaccard"),
    ("on\nreal", "soft_jaccard_real"),
    ("on\nwritten", "soft_jaccard_generated"),
    ("shared", "shared"),
    ("only\nconcept", "only_first"),
    ("only\nmatch", "only_second"),
)


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
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN ...", help="Runs of one model over one corpus; maps are learned once."),
    ],
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="MODEL", help="An embedded model, a hub id or a folder.")
    ],
    round_number: RoundNumber = None,
    samples: Annotated[int, typer.Option(min=8, max=100_000, help="Passages generated per vector.")] = 48,
    passages: Annotated[
        int | None,
        typer.Option(min=8, max=1_000_000, help="Passages of general text that maps are learned from."),
    ] = None,
    nats: Annotated[
        float | None, typer.Option(min=1e-4, help="Strength in nats per token; by default the run's.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", metavar="MAP", help="Only this kind of map; repeatable.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="NAME", help="Gold labels, one per RUN; by default the corpus's main ones."
        ),
    ] = None,
    settings: Settings = None,
) -> None:
    """Carry a concept into another model by a map learned on general text, and test its arrival."""
    from loops.checkpoint.find import open_run
    from loops.config import stitch_config
    from loops.monitor.progress import show_progress
    from loops.transfer.evaluate import labels_of
    from loops.transfer.output import show_stitch
    from loops.transfer.stitch import carry, chosen_settings
    from loops.transfer.stitch import stitch as carry_over
    from loops.transfer.trials import Pair, refuse_own_model

    if label and len(label) != len(runs):
        raise BasinError(f"{len(runs)} runs and {len(label)} labels were named: name one --label per run.")
    stores = [open_run(run) for run in runs]
    changes = {"passages": passages, "methods": method or None}
    given = {key: value for key, value in changes.items() if value is not None}
    config = chosen_settings(stitch_config(stores[0].config, settings or ()).stitching, given)
    # Refuse every mistake before the first stitch, which takes minutes.
    for store in stores:
        refuse_own_model(store, to)
    records = [carry(store, round_number) for store in stores]
    names: list[str | None] = [*label] if label else [None] * len(runs)
    with show_progress(Console(stderr=True)):
        known = [labels_of(store, name) for store, name in zip(stores, names, strict=True)]
    pair: Pair | None = None
    for store, record, labels in zip(stores, records, known, strict=True):
        with show_progress(Console(stderr=True)):
            if pair is None or not pair.serves(store):
                pair = Pair.of(store, to, config)
            found = carry_over(store, record, pair, config, samples=samples, nats=nats)
            folder, measured = _keep_stitch(found, store, labels, to)
        show_stitch(found, measured, folder, Console())


def _keep_stitch(
    found: Stitching, store: RunStore, labels: GoldLabels | None, to: str
) -> tuple[Path, list[dict[str, Any]]]:
    """Store, measure and draw a finished stitch."""
    from loops.monitor.tables import can_draw
    from loops.transfer.evaluate import measure_stitch
    from loops.transfer.store import save_stitch, stitch_folder

    folder = stitch_folder(store, to, found.round)
    save_stitch(found, folder)
    measured = measure_stitch(found, store, labels, folder) if labels else []
    if can_draw("The picture"):
        from loops.transfer.picture import draw_stitch

        draw_stitch(found, measured, folder)
    return folder, measured


def match(
    run: RunName,
    *,
    into: Annotated[
        str,
        typer.Option(
            "--in", metavar="SPACE", help="A language model, `embedder`, `lda:COUNT` or `lda:COUNT:SEED`."
        ),
    ],
    origin: Annotated[
        str,
        typer.Option("--from", metavar="WHAT", help="`concept`, `topic`, or a SPACE to find it in first."),
    ] = "concept",
    round_number: RoundNumber = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="RUN", help="A run refined in that space, to compare with."),
    ] = None,
) -> None:
    """Find a run's concept in another model without a map, as the cluster with the largest overlap."""
    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.transfer.match import match
    from loops.transfer.store import save_match

    store = open_run(run)
    other = open_run(compare) if compare else None
    with show_progress(Console(stderr=True)):
        found = match(store, round_number, into, origin, other)
        file = save_match(found, store)
    _show_match(found, Console())
    print_line("")
    print_line(f"Match: {file}")


def _show_match(found: Matched, console: Console) -> None:
    from loops.monitor.tables import plain_table
    from loops.transfer.match import rows, two_sides

    real, generated = len(found.texts.passages.passages), len(found.texts.generated)
    mass = f"half the mass on {real} real passages, half on {generated} generated ones"
    if not generated:
        mass = f"all the mass on {real} real passages, since nothing was generated"
    print_line("")
    print_line(f"{found.run}, round {found.round}, {found.origin} in {found.into}: {mass}.")
    shown = rows(found)[:SHOWN_CANDIDATES]
    table = plain_table("cluster", *(header for header, _ in MATCH_COLUMNS))
    for row in shown:
        name = row["kind"] if row["kind"] == row["cluster"] else f"{row['kind']} {row['cluster']}"
        values = (row[key] for _, key in MATCH_COLUMNS)
        cells = ("-" if value is None else f"{value:.3f}" for value in values)
        table.add_row(escape(printable(name)), *cells)
    console.print(table)
    for row in shown:
        if "words" in row:
            print_line(f"Topic {row['cluster']}: {row['words']}")
    best = found.candidates[0]
    print_line(
        found.nothing
        or f"With shuffled memberships the best overlap is {best.chance:.3f}; this one is {best.z_score:.1f} "
        "standard deviations higher."
    )
    if compared := found.compared:
        print_line(
            f"With the concept refined in that space: overlap {compared['match']:.3f} of the match, "
            f"{compared['concept']:.3f} of the concept itself; by documents {compared['match_by_documents']:.3f} "
            f"and {compared['concept_by_documents']:.3f}."
        )
    for name, beginnings in two_sides(found).items():
        console.print(f"\n[bold]{name.capitalize()}[/]" + ("" if beginnings else ": nothing"))
        for beginning in beginnings:
            print_line(f"  {beginning}")


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
