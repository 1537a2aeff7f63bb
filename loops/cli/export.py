"""`basin export`: arguments to settings, and what was written. Slow imports wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import printable
from loops.cli.arguments import RunName


def export_command(
    run: RunName,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="control-vector, safetensors, adapter, model or dataset."
        ),
    ],
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="Which round; by default the newest.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Where to; by default run, round and format, in the working directory."
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="Times the round's vector; 1 is what the round writes with.")
    ] = 1.0,
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
        _say(f"Written: {made.path}")
        for sentence in made.sentences:
            _say(sentence)


def _say(sentence: str) -> None:
    Console().print(escape(printable(sentence)), highlight=False, soft_wrap=True)
