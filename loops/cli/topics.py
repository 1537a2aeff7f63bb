"""`basin topics`: topics on the terminal or as a page, and the config that starts from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.errors import BasinError, printable
from loops.cli.arguments import print_line

if TYPE_CHECKING:
    from loops.report.topic_views import TopicView


def topics(
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
            metavar="[FILE]", help="For --html: by default topics-NAME.html, or topics.html in a run."
        ),
    ] = None,
    *,
    html: Annotated[bool, typer.Option("--html", help="Write a page to browse and search topics.")] = False,
    count: Annotated[
        int | None, typer.Option("--topics", min=2, max=10_000, help="Topics to fit; by default 10.")
    ] = None,
    words: Annotated[str, typer.Option(help="Rank topics by their mass on these words: a,b,c.")] = "",
    seed_words: Annotated[str, typer.Option(help="Raise the prior of these words in topic 0: a,b,c.")] = "",
    topic: Annotated[int | None, typer.Option(help="Show only this topic.")] = None,
    seed: Annotated[int | None, typer.Option(help="By default the config's, or 0.")] = None,
) -> None:
    """Fit a topic model, or take a run's; show every topic and the config that starts from one."""
    if file is not None and not html:
        raise BasinError(f"{file} is a second argument, which only --html takes: add --html.")
    from loops.monitor.progress import show_progress
    from loops.report.topic_views import TopicOptions, view_subject

    options = TopicOptions(count, _listed(words), _listed(seed_words), topic, seed)
    console = Console()
    with show_progress(Console(stderr=True)):
        view = view_subject(subject, options)
        if html:
            from loops.report.topics_page import write_topics

            path, size = write_topics(view, file)
            print_line(f"Page: {path} ({size / 1e6:.1f} MB)")
            return
    _show_topics(view, console)
    _show_config(view, topic, console)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _show_topics(view: TopicView, console: Console) -> None:
    """Print the top words, share and most typical passages of every topic."""
    from rich.table import Table

    from agent.pointer.topic_model import SURE_WORDS, Pointer
    from loops.report.terminal import first_words

    passages = view.passages
    console.print(passages.description)
    mass = view.model.mass_on(view.words) if view.words else None
    for topic in view.order() if view.only is None else [view.only]:
        share = view.weights[:, topic].mean()
        on_words = ""
        if mass is not None:
            found = Pointer(view.model, topic).holds(view.words)
            on_words = f", {mass[topic]:.2%} of it on the words, {len(found)} of them among its {SURE_WORDS} most probable"
        starts = ", where the config starts" if view.picked == topic and view.file else ""
        console.print(f"\n[bold]Topic {topic}[/]  {share:.1%} of the text{on_words}{starts}", highlight=False)
        console.print(escape(printable(" ".join(view.model.top_words(topic)))), style="cyan")
        typical = Table.grid(padding=(0, 1))
        for index in view.typical(topic)[:3]:
            passage = view.chosen[index]
            document = passages.documents[passage.document]
            line = f"{document.title or document.id}: {first_words(passage.text)}"
            typical.add_row(f" {view.weights[index, topic]:.2f}", escape(printable(line)))
        console.print(typical, style="dim")


def _show_config(view: TopicView, topic: int | None, console: Console) -> None:
    """Print the config that starts from a topic, given by number or by the configured words."""
    topic = view.only if topic is None else topic
    if view.file is not None:
        print_line("")
        print_line(f"To start from it, replace `topics` in {view.file} by this:")
        print_line("")
        print(view.lines(topic, view.words), end="")
        return
    console.print("\nTo start from it, save these lines as mine.yaml, then `basin run mine.yaml`:\n")
    print(view.lines(topic, view.words), end="")
    if view.thinned is not None:
        print_line("")
        print_line(
            f"The line `passages` reads {view.thinned} passages of each document, evenly spaced. "
            f"Without it a run reads all {len(view.passages.texts):,}, which is slow."
        )
