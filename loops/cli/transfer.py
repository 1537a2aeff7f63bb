"""`basin match`: arguments to settings, and the table. Slow imports wait for their command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.cli.arguments import RunName

if TYPE_CHECKING:
    from loops.transfer.match import Matched


from agent.errors import BasinError
from loops.cli.arguments import ConfigName
from loops.cli.signals import exit_status

SHOWN = 6
"""Candidates in the table."""
COLUMNS = (
    ("overlap", "soft_jaccard"),
    ("on\nreal", "soft_jaccard_real"),
    ("on\nwritten", "soft_jaccard_generated"),
    ("shared", "shared"),
    ("only\nconcept", "only_first"),
    ("only\nmatch", "only_second"),
)


def match_command(
    run: RunName,
    into: Annotated[
        str,
        typer.Option(
            "--in", metavar="SPACE", help="A language model, `embedder`, `lda:COUNT` or `lda:COUNT:SEED`."
        ),
    ],
    origin: Annotated[
        str,
        typer.Option("--from", metavar="WHAT", help="`concept`, `topic`, or a SPACE it is found in first."),
    ] = "concept",
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="Which round; by default the newest.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="RUN", help="A run refined in that space, to hold it against."),
    ] = None,
) -> None:
    """Find a run's concept in another model without any map: the cluster that shares most of the same texts with it."""
    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.transfer.match import match
    from loops.transfer.store import save_match

    store = open_run(run)
    other = open_run(compare) if compare else None
    with show_progress(Console(stderr=True)):
        found = match(store, round_number, into, origin, other)
        file = save_match(found, store)
    _show(found, Console())
    Console().print(f"\nMatch: {escape(str(file))}", highlight=False, soft_wrap=True)


def _show(found: Matched, console: Console) -> None:
    from agent.errors import printable
    from loops.monitor.tables import plain_table
    from loops.transfer.match import rows, two_sides

    real, written = len(found.texts.passages.passages), len(found.texts.generated)
    console.print(
        f"\n{found.run}, round {found.round}, {found.origin} in {found.into}: "
        + (
            f"half the mass on {real} real passages, half on {written} written ones."
            if written
            else f"all the mass on {real} real passages, since nothing was written."
        ),
        highlight=False,
        soft_wrap=True,
    )
    shown = rows(found)[:SHOWN]
    table = plain_table("cluster", *(header for header, _ in COLUMNS))
    for row in shown:
        name = row["kind"] if row["kind"] == row["cluster"] else f"{row['kind']} {row['cluster']}"
        table.add_row(escape(printable(name)), *(_number(row[key]) for _, key in COLUMNS))
    console.print(table)
    sentences = [f"Topic {row['cluster']}: {row['words']}" for row in shown if "words" in row]
    best = found.candidates[0]
    sentences.append(
        found.nothing
        or f"For memberships dealt out anew the best is {best.chance:.3f}: this is {best.z_score:.1f} deviations more."
    )
    if compared := found.compared:
        sentences.append(
            f"With the concept that was refined there: overlap {compared['match']:.3f} of the match, "
            f"{compared['concept']:.3f} of what was looked for; by documents {compared['match_by_documents']:.3f} and "
            f"{compared['concept_by_documents']:.3f}."
        )
    for sentence in sentences:
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    for name, beginnings in two_sides(found).items():
        console.print(f"\n[bold]{name.capitalize()}[/]" + ("" if beginnings else ": nothing"))
        for beginning in beginnings:
            console.print(f"  {escape(printable(beginning))}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def stitch_command(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN ...", help="Runs of one model over one corpus; maps are learnt once."),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="MODEL", help="An embedded model, a hub id or a folder.")
    ],
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="Which round; by default the newest.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=8, max=100_000, help="Passages written with every vector.")
    ] = 48,
    passages: Annotated[
        int | None,
        typer.Option(min=8, max=1_000_000, help="Passages of general text that maps are learnt from."),
    ] = None,
    nats: Annotated[
        float | None, typer.Option(min=1e-4, help="Strength, in nats per token; by default the run's.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="MAP", help="Only this kind of map; may be repeated."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME",
            help="Gold labels to judge by, one for every RUN; by default the corpus's main ones.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a setting of the maps, such as corpus.source."
        ),
    ] = None,
) -> None:
    """Carry a run's concept into another model through a map learnt on general text, with the evidence that it arrived."""
    from loops.checkpoint.find import open_run
    from loops.config import stitch_config
    from loops.monitor.drawing import can_draw
    from loops.monitor.progress import show_progress
    from loops.transfer.evaluate import labels_of, measure_stitch
    from loops.transfer.output import show_stitch
    from loops.transfer.stitch import carry, chosen_settings, stitch
    from loops.transfer.store import save_stitch, stitch_folder
    from loops.transfer.trials import Pair, refuse_own_model

    if label and len(label) != len(runs):
        raise BasinError(
            f"{len(runs)} runs and {len(label)} labels were named; name one --label for every run."
        )
    stores = [open_run(run) for run in runs]
    changes = {"passages": passages, "methods": method or None}
    config = chosen_settings(
        stitch_config(stores[0].config, settings or ()).stitching,
        {key: value for key, value in changes.items() if value is not None},
    )
    for store in stores:  # now, and not when those before it have been stitched
        refuse_own_model(store, to)
    records = [carry(store, round_number) for store in stores]
    named = label or [None] * len(runs)
    with show_progress(Console(stderr=True)):
        # A label that is not there is refused now, and not when everything has been written.
        known = [labels_of(store, name) for store, name in zip(stores, named, strict=True)]
    pair: Pair | None = None
    for store, record, labels in zip(stores, records, known, strict=True):
        with show_progress(Console(stderr=True)):
            if pair is None or not pair.serves(store):
                pair = Pair.of(store, to, config)
            found = stitch(store, record, pair, config, samples=samples, nats=nats)
            folder = stitch_folder(store, to, found.round)
            save_stitch(found, folder)
            measured = measure_stitch(found, store, labels, folder) if labels else []
            if can_draw("The picture"):
                from loops.transfer.picture import draw_stitch

                draw_stitch(found, measured, folder)
        show_stitch(found, measured, folder, Console())


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
    from agent.config import find_config
    from loops.checkpoint.find import named_path
    from loops.config import ChainConfig, load_wrapped
    from loops.monitor.progress import show_progress
    from loops.transfer.chain import succeed
    from loops.transfer.evaluate import measure_chain
    from loops.transfer.output import show_chain

    config = find_config(config)
    resolved = load_wrapped(ChainConfig, config, settings or ())
    folder = named_path(name or f"chain-{config.stem}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    try:
        with show_progress(Console(stderr=True), folder / "chain.log"):
            rows = succeed(resolved, folder, config)
            measured = measure_chain(folder, rows)
    except KeyboardInterrupt as stop:
        Console(stderr=True).print("\nStopped. The same command goes on from the last whole round.")
        raise typer.Exit(exit_status(stop)) from None
    show_chain(rows, measured, folder, Console())
