"""Looking through topics on a terminal for the one that points at something."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.topics import SURE_WORDS, Pointer
from loops.printing import printable
from loops.show import first_words
from loops.topic_views import TopicView, config_text


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
