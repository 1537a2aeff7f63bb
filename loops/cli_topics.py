"""`basin topics`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import BasinError


def topics_command(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS|CONFIG|RUN",
            help="brown-fiction, brown, newsgroups, a folder or file of texts; a config file; or a run.",
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Where --html writes to; by default topics-NAME.html, or topics.html in a run.",
        ),
    ] = None,
    html: Annotated[
        bool,
        typer.Option(
            "--html", help="Write a page to look through the topics with, and search them for words."
        ),
    ] = False,
    count: Annotated[
        int | None, typer.Option("--topics", min=2, max=10_000, help="How many topics to fit; by default 10.")
    ] = None,
    words: Annotated[str, typer.Option(help="Rank topics by their mass on these words: a,b,c.")] = "",
    seed_words: Annotated[str, typer.Option(help="Raise the prior of these words in topic 0: a,b,c.")] = "",
    topic: Annotated[int | None, typer.Option(help="Show only this topic.")] = None,
    seed: Annotated[int | None, typer.Option(help="As in the run's configuration; by default 0.")] = None,
) -> None:
    """Fit a topic model, or take a run's, and show every topic, with the configuration lines that start from one."""
    if file is not None and not html:
        raise BasinError(f"{file} is a second argument, which only --html takes: the file that it writes to.")
    from loops.progress import open_progress
    from loops.topic_table import choose_topic, show_config_lines, show_topics
    from loops.topic_views import Asked, view_subject

    asked = Asked(count, _listed(words), _listed(seed_words), topic, seed)
    console = Console()
    with open_progress(Console(stderr=True)) as progress:
        view = view_subject(subject, asked, progress)
        if html:
            from loops.report.topics_page import write_topics

            path, size = write_topics(view, file, progress)
            console.print(f"Page: {escape(str(path))} ({size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)
            return
    show_topics(view, console)
    asks = topic is None and not words and not seed_words and sys.stdin.isatty() and console.is_terminal
    show_config_lines(view, choose_topic(view, console) if asks else topic, console)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
