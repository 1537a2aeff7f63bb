"""`basin record`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.console import Console

from loops.cli.arguments import ConfigName

logger = logging.getLogger(__name__)


def record_command(
    config: ConfigName,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; by default one for each GPU.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Spread the passages over Ray: local, auto, or host:port."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
    ] = None,
) -> None:
    """Read a corpus into the cache with several processes or GPUs; a run then finds it there."""
    from agent.config import find_config
    from agent.corpora.load import load_corpus
    from agent.corpora.passages import split
    from loops.config import load_config
    from loops.monitor.progress import show_progress
    from loops.recording import record_spread

    resolved = load_config(find_config(config), settings or ())
    with show_progress(Console(stderr=True)):
        passages = split(load_corpus(resolved.corpus), resolved.passages)
        logger.info(f"Corpus: {passages.description}")
        count = record_spread(resolved.language_model, passages.texts, workers=workers, ray_address=ray)
    Console().print(f"{count:,} passages are in the cache, as {resolved.language_model.name} reads them.")
