"""Looking through the topics of a corpus for the one that points at something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.passages import PassagesConfig, evenly_spaced, split
from agent.sources.corpora import CorpusConfig, load_corpus
from agent.topics import SURE_WORDS, Pointer, TopicModel, TopicsConfig, fit, pick
from agent.types import Passage, PassageSet
from loops.progress import Progress
from loops.show import first_words

INFERRED_PASSAGES = 3000
"""Shares and typical passages are read off at most this many, evenly spaced: inference takes its time."""


@dataclass(frozen=True)
class TopicView:
    """A fitted model and its topics' weights in some passages."""

    corpus: CorpusConfig
    config: TopicsConfig
    seed: int
    model: TopicModel
    passages: PassageSet
    chosen: list[Passage]
    weights: np.ndarray
    """[chosen passage, topic]"""

    def order(self) -> list[int]:
        """Topic numbers: by mass on the words where there are any, else by share."""
        key = self.model.mass_on(self.config.words) if self.config.words else self.weights.mean(axis=0)
        return np.argsort(-key, kind="stable").tolist()


def view_topics(corpus: CorpusConfig, config: TopicsConfig, seed: int, progress: Progress) -> TopicView:
    """Fit the topics of a corpus as a run would; raises as `load_corpus`, `split`, `fit` and `pick`."""
    documents = load_corpus(corpus, progress=progress.say)
    passages = split(documents, PassagesConfig())
    with progress.stage("topics: fitting"):
        model = fit(passages.documents, config, seed, progress.say)
    if config.topic is not None:
        pick(model, config)
    if config.words:
        model.mass_on(config.words)
    chosen = [passages.passages[index] for index in evenly_spaced(len(passages.passages), INFERRED_PASSAGES)]
    with progress.stage("topics: reading passages"):
        weights = model.infer([passage.text for passage in chosen])
    return TopicView(corpus, config, seed, model, passages, chosen, weights)


def show_topics(view: TopicView, console: Console) -> None:
    """Every topic (or the one that was asked for) with its top words, share and most typical passages."""
    passages = view.passages
    console.print(passages.description)
    mass = view.model.mass_on(view.config.words) if view.config.words else None
    wanted = view.order() if view.config.topic is None else [view.config.topic]
    for topic in wanted:
        share = view.weights[:, topic].mean()
        held = ""
        if mass is not None:
            found = Pointer(view.model, topic).holds(view.config.words)
            held = f", {mass[topic]:.2%} of it on the words, {len(found)} of them among its {SURE_WORDS} most probable"
        console.print(f"\n[bold]Topic {topic}[/]  {share:.1%} of the text{held}", highlight=False)
        console.print(escape(" ".join(view.model.top_words(topic))), style="cyan")
        typical = Table.grid(padding=(0, 1))
        for index in np.argsort(-view.weights[:, topic], kind="stable")[:3]:
            passage = view.chosen[index]
            document = passages.documents[passage.document]
            line = f"{document.title or document.id}: {first_words(passage.text)}"
            typical.add_row(f" {view.weights[index, topic]:.2f}", escape(line))
        console.print(typical, style="dim")


def show_config_lines(view: TopicView, topic: int | None, console: Console) -> None:
    """The lines of a configuration that starts from the topic, chosen by number or as `view.config` says."""
    source = view.corpus.source
    if Path(source).expanduser().exists():
        source = str(Path(source).expanduser().resolve())
    topics: dict[str, Any] = {"count": view.config.count}
    topics |= {"seed_words": list(view.config.seed_words)} if view.config.seed_words else {}
    if topic is not None:
        topics["topic"] = topic
    elif view.config.words:
        topics["words"] = list(view.config.words)
    tree: dict[str, Any] = {"corpus": {"source": source}, "topics": topics}
    tree |= {"seed": view.seed} if view.seed else {}
    console.print("\nTo start from it, save these lines as mine.yaml, then `basin run mine.yaml`:\n")
    print(
        yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, allow_unicode=True, width=1000), end=""
    )


def choose_topic(view: TopicView, console: Console) -> int | None:
    """Ask which topic is meant; nothing is a choice too."""
    while True:
        answer = console.input(f"\nWhich topic (0 to {view.model.count - 1}; Enter for none)? ").strip()
        if not answer:
            return None
        if answer.isdecimal() and int(answer) < view.model.count:
            return int(answer)
        console.print(f"There is no topic {escape(answer)}.")
