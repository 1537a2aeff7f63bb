"""`basin generate` and `basin export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from loops.cli.arguments import AcceptModel, RoundNumber, RunName, Settings, print_line


def generate(
    run: RunName,
    *,
    round_number: RoundNumber = None,
    count: Annotated[int, typer.Option("-n", "--number", min=1, max=100_000, help="Of passages.")] = 3,
    words: Annotated[int | None, typer.Option(min=1, help="Of each, about; ends a sentence.")] = None,
    prompt: Annotated[str | None, typer.Option(help="By default the openings of real passages.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    strength: Annotated[
        float, typer.Option(help="Times the round's steering vector; 0 writes without it.")
    ] = 1.0,
    particles: Annotated[
        int, typer.Option(min=1, max=1000, help="Per passage: above 1, sample to the real members' log-odds.")
    ] = 1,
    settings: Settings = None,
    accept_model: AcceptModel = False,
) -> None:
    """Generate passages from the concept of a round."""
    from loops.api.generate import write
    from loops.checkpoint.find import open_run
    from loops.monitor.progress import show_progress
    from loops.report.terminal import show_passage

    store = open_run(run)
    how: dict[str, Any] = {"words": words, "prompt": prompt, "seed": seed, "accept_model": accept_model}
    how["overrides"] = settings or ()
    out, bars = Console(), Console(stderr=True)
    with show_progress(bars):
        for opening, text in write(store, round_number, count, strength=strength, particles=particles, **how):
            # On one terminal, the console of the bars moves them out of the way.
            show_passage(opening, text, bars if bars.is_terminal and out.is_terminal else out)


def export(
    run: RunName,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="control-vector, safetensors, adapter, model or dataset."
        ),
    ],
    round_number: RoundNumber = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="By default run, round and format, in the working directory."),
    ] = None,
    strength: Annotated[float, typer.Option(help="Times the round's steering vector.")] = 1.0,
    dtype: Annotated[str, typer.Option(help="Of weights: bfloat16, float16 or float32.")] = "bfloat16",
) -> None:
    """Write a round's concept for another program: llama.cpp, repeng, PEFT, transformers, datasets."""
    from loops.checkpoint.find import open_run
    from loops.export.formats import export_round
    from loops.export.subject import Export
    from loops.monitor.progress import show_progress

    store = open_run(run)
    with show_progress(Console(stderr=True)):
        export = Export.of(store, round_number, strength=strength, dtype=dtype)
        made = export_round(export, to, out)
        print_line(f"Written: {made.path}")
        for sentence in made.sentences:
            print_line(sentence)
