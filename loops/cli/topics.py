"""`basin topics`: arguments to settings, nothing else. Slow imports wait for their command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.errors import BasinError, printable
from agent.pointer.topic_model import SURE_WORDS, Pointer
from loops.report.terminal import first_words
from loops.report.topic_views import TopicView, config_text


def show_topics(view: TopicView, console: Console) -> None:
    """Every topic (or the one that was asked for) with its top words, share and most typical passages."""
    passages = view.passages
    console.print(passages.description)
    mass = view.model.mass_on(view.config.words) if view.config.words else None
    wanted = view.order() if view.only is None else [view.only]
    for topic in wanted:
        share = view.weights[:, topic].mean()
        held = ""
        if mass is not None:
            found = Pointer(view.model, topic).holds(view.config.words)
            held = f", {mass[topic]:.2%} of it on the words, {len(found)} of them among its {SURE_WORDS} most probable"
        starts = ", where the configuration starts" if view.picked == topic and view.file else ""
        console.print(f"\n[bold]Topic {topic}[/]  {share:.1%} of the text{held}{starts}", highlight=False)
        console.print(escape(printable(" ".join(view.model.top_words(topic)))), style="cyan")
        typical = Table.grid(padding=(0, 1))
        for index in np.argsort(-view.weights[:, topic], kind="stable")[:3]:
            passage = view.chosen[index]
            document = passages.documents[passage.document]
            line = f"{document.title or document.id}: {first_words(passage.text)}"
            typical.add_row(f" {view.weights[index, topic]:.2f}", escape(printable(line)))
        console.print(typical, style="dim")


def show_config_lines(view: TopicView, topic: int | None, console: Console) -> None:
    """The lines of a configuration that starts from the topic, chosen by number or as `view.config` says."""
    topic = view.only if topic is None else topic
    words = view.config.words if topic is None else ()
    if view.file is None:
        console.print("\nTo start from it, save these lines as mine.yaml, then `basin run mine.yaml`:\n")
        print(config_text(view.tree(topic, words)), end="")
        if view.thinned is not None:
            console.print(
                f"\nIt reads {view.thinned} passages of each document, evenly spaced, not all {len(view.passages.texts):,}, "
                "which takes long; without the line `passages` it reads all.",
                highlight=False,
            )
        return
    console.print(
        f"\nTo start from it, put this in the place of `topics` in {escape(view.file)}:\n", soft_wrap=True
    )
    print(config_text({"topics": view.topics_tree(topic, words)}), end="")


def choose_topic(view: TopicView, console: Console) -> int | None:
    """Ask which topic is meant; nothing is a choice too."""
    while True:
        answer = console.input(f"\nWhich topic (0 to {view.model.count - 1}; Enter for none)? ").strip()
        if not answer:
            return None
        if answer.isdecimal() and int(answer) < view.model.count:
            return int(answer)
        console.print(f"There is no topic {escape(printable(answer))}.")


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
    from loops.monitor.progress import show_progress
    from loops.report.topic_views import TopicOptions, view_subject

    options = TopicOptions(count, _listed(words), _listed(seed_words), topic, seed)
    console = Console()
    with show_progress(Console(stderr=True)):
        view = view_subject(subject, options)
        if html:
            from loops.report.topics_page import write_topics

            path, size = write_topics(view, file)
            console.print(f"Page: {escape(str(path))} ({size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)
            return
    show_topics(view, console)
    asks = topic is None and not words and not seed_words and sys.stdin.isatty() and console.is_terminal
    show_config_lines(view, choose_topic(view, console) if asks else topic, console)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
