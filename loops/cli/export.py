"""`basin export`: arguments to settings, and what was written. Slow imports wait."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import printable
from loops.cli.arguments import RunName

logger = logging.getLogger(__name__)


def export_command(
    run: RunName,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="control-vector, safetensors, adapter, model, gguf or dataset."
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
    dtype: Annotated[
        str, typer.Option(help="Of weights: bfloat16, float16, float32; q8_0 in a GGUF.")
    ] = "bfloat16",
    repository: Annotated[
        str | None,
        typer.Option(
            "--push", metavar="OWNER/NAME", help="Also upload it to the Hugging Face hub, privately."
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: for everybody to see.")] = False,
) -> None:
    """Write a round's concept for another program: llama.cpp, repeng, PEFT, transformers, datasets."""
    from agent.errors import BasinError
    from loops.checkpoint.find import open_run
    from loops.export.formats import card_of, export_round
    from loops.export.pushing import push, refuse_name
    from loops.export.subject import Export
    from loops.monitor.progress import show_progress

    if public and repository is None:
        raise BasinError("--public is about what --push uploads, and there is no --push.")
    if repository is not None:
        refuse_name(repository)
    store = open_run(run)
    with show_progress(Console(stderr=True)):
        export = Export.of(store, round_number, strength, dtype)
        made = export_round(export, to, out)
        _say(f"Written: {made.path}")
        for sentence in made.sentences:
            _say(sentence)
        if repository is not None:
            card = card_of(export, made.sentences) if made.path.is_file() else None
            logger.info(f"hub: uploading to {repository}")
            _say(f"Pushed: {push(made.path, repository, card, private=not public, dataset=to == 'dataset')}")


def _say(sentence: str) -> None:
    Console().print(escape(printable(sentence)), highlight=False, soft_wrap=True)
