"""`basin stitch`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from agent.errors import BasinError


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
) -> None:
    """Carry a run's concept into another model through a map learnt on general text, with the evidence that it arrived."""
    from loops.drawing import can_draw
    from loops.progress import open_progress
    from loops.runs import open_run
    from loops.stitch_measuring import labels_of, measure_stitch
    from loops.stitch_store import save_stitch, stitch_folder
    from loops.stitch_table import show_stitch
    from loops.stitching import Pair, carry, chosen_settings, refuse_own_model, stitch

    if label and len(label) != len(runs):
        raise BasinError(
            f"{len(runs)} runs and {len(label)} labels were named; name one --label for every run."
        )
    stores = [open_run(run) for run in runs]
    changes = {"passages": passages, "methods": method or None}
    config = chosen_settings(
        stores[0].config.stitching, {key: value for key, value in changes.items() if value is not None}
    )
    for store in stores:  # now, and not when those before it have been stitched
        refuse_own_model(store, to)
    records = [carry(store, round_number) for store in stores]
    named = label or [None] * len(runs)
    with open_progress(Console(stderr=True)) as progress:
        # A label that is not there is refused now, and not when everything has been written.
        known = [labels_of(store, name, progress.say) for store, name in zip(stores, named, strict=True)]
    pair: Pair | None = None
    for store, record, labels in zip(stores, records, known, strict=True):
        with open_progress(Console(stderr=True)) as progress:
            if pair is None or not pair.serves(store):
                pair = Pair.of(store, to, config, progress.say)
            found = stitch(store, record, pair, config, progress.say, samples=samples, nats=nats)
            folder = stitch_folder(store, to, found.round)
            save_stitch(found, folder)
            measured = measure_stitch(found, store, labels, folder, progress.say) if labels else []
            if can_draw("The picture", progress.say):
                from loops.stitch_picture import draw_stitch

                draw_stitch(found, measured, folder)
        show_stitch(found, measured, folder, Console())
