"""Topics to be looked at: of a corpus, of a configuration as its run would fit them, or of a run as it did."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from agent.corpora.load import CorpusConfig, load_corpus, named_corpus
from agent.corpora.passages import PassagesConfig, enough_per_document, evenly_spaced, split
from agent.errors import BasinError
from agent.pointer.topic_model import TopicModel, TopicsConfig, pick
from agent.progress import timed
from agent.types import Passage, PassageSet
from loops.checkpoint.find import checkpoints_folder
from loops.checkpoint.store import RunStore
from loops.config import load_config
from loops.round.pointer import fit_topics, refuse_given_pointer

logger = logging.getLogger(__name__)

INFERRED_PASSAGES = 3000
"""Shares and typical passages are read off at most this many, evenly spaced: inference takes its time."""
CORPORA = ("brown-fiction", "brown", "newsgroups")
"""Names of corpora, which a run of the same name does not take away."""


@dataclass(frozen=True)
class Asked:
    """What was asked for beside the subject; None and nothing stand for its own."""

    count: int | None = None
    words: tuple[str, ...] = ()
    seed_words: tuple[str, ...] = ()
    topic: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class TopicView:
    """A fitted model and its topics' weights in some passages."""

    name: str
    corpus: CorpusConfig
    cut: PassagesConfig
    config: TopicsConfig
    seed: int
    model: TopicModel
    passages: PassageSet
    chosen: list[Passage]
    weights: np.ndarray
    """[chosen passage, topic]"""
    only: int | None = None
    """The one topic that was asked for."""
    picked: int | None = None
    """The topic that the configuration starts from, where it names one."""
    file: str | None = None
    """The config file that a run starts with."""
    folder: Path | None = None
    """The run's, where they are a run's."""

    @property
    def thinned(self) -> int | None:
        """Passages of a document that whole configurations read, where reading all would take long and nothing else is said."""
        return enough_per_document(self.passages, self.cut)

    def order(self) -> list[int]:
        """Topic numbers: by mass on the words where there are any, else by share."""
        key = self.model.mass_on(self.config.words) if self.config.words else self.weights.mean(axis=0)
        return np.argsort(-key, kind="stable").tolist()

    def topics_tree(self, topic: int | None = None, words: Sequence[str] = ()) -> dict[str, Any]:
        """The `topics` section that starts from a topic, by number or by words."""
        tree = self.config.model_dump(mode="json", exclude_defaults=True, exclude={"topic", "words"})
        tree = {"count": self.config.count, **tree}
        return tree | ({"topic": topic} if topic is not None else {"words": list(words)} if words else {})

    def tree(self, topic: int | None = None, words: Sequence[str] = ()) -> dict[str, Any]:
        """A whole configuration that starts from a topic; of a library of long documents it reads a part."""
        source = Path(self.corpus.source).expanduser()
        corpus = self.corpus.model_dump(mode="json", exclude_defaults=True)
        corpus["source"] = str(source.resolve()) if source.exists() else self.corpus.source
        cut = self.cut.model_dump(mode="json", exclude_defaults=True)
        if self.thinned is not None:
            cut["per_document"] = self.thinned
        tree = {
            "corpus": corpus,
            "passages": cut,
            "topics": self.topics_tree(topic, words),
            "seed": self.seed,
        }
        return {key: value for key, value in tree.items() if value}


def view_subject(subject: str, asked: Asked) -> TopicView:
    """The topics of a corpus, a config file or a run; raises `BasinError` as what reads them."""
    if (run := _run(subject)) is not None:
        return view_run(run, asked)
    file = Path(subject).expanduser()
    if file.suffix in (".yaml", ".yml"):
        config = load_config(file)
        refuse_given_pointer(config, "The list of topics")
        topics = _asked_for(config.topics, asked)
        seed = config.seed if asked.seed is None else asked.seed
        return view_topics(config.corpus, topics, seed, cut=config.passages, file=str(file), only=asked.topic)
    topics = _asked_for(TopicsConfig(), asked)
    return view_topics(named_corpus(subject), topics, asked.seed or 0, only=asked.topic)


def view_topics(
    corpus: CorpusConfig,
    config: TopicsConfig,
    seed: int,
    *,
    cut: PassagesConfig | None = None,
    file: str | None = None,
    only: int | None = None,
) -> TopicView:
    """Fit the topics of a corpus as a run would; raises as `load_corpus`, `split`, `fit` and `pick`."""
    cut = cut or PassagesConfig()
    passages = split(load_corpus(corpus), cut)
    with timed("topics: fitting"):
        model = fit_topics(corpus, passages, config, seed)
    named = config.topic is not None or config.words or config.seed_words
    picked = pick(model, config).topic if named else None
    name = Path(file or corpus.source).name.removesuffix(".yaml").removesuffix(".yml")
    chosen, weights = _read(model, passages)
    return TopicView(name, corpus, cut, config, seed, model, passages, chosen, weights, only, picked, file)


def view_run(store: RunStore, asked: Asked) -> TopicView:
    """The topics that a run was pointed with, over its passages.

    Raises:
        BasinError: others are asked for, or the run has no round.
    """
    if asked.count is not None or asked.seed is not None or asked.seed_words:
        raise BasinError(
            f"The topics of the run {store.name} are stored and not fitted again; name its config file or its corpus "
            "with --topics, --seed or --seed-words."
        )
    pointer, passages, config = store.load_pointer(), store.load_passages(), store.config
    topics = config.topics.model_copy(update={"words": asked.words} if asked.words else {})
    if topics.words:
        pointer.model.mass_on(topics.words)
    if asked.topic is not None:
        pick(pointer.model, TopicsConfig(topic=asked.topic))
    begun_with = store.about.get("config_file")
    file = begun_with if begun_with and Path(begun_with).is_file() else None
    chosen, weights = _read(pointer.model, passages)
    return TopicView(
        store.name,
        config.corpus,
        config.passages,
        topics,
        config.seed,
        pointer.model,
        passages,
        chosen,
        weights,
        asked.topic,
        pointer.topic,
        file,
        store.path,
    )


def config_text(tree: dict[str, Any]) -> str:
    """A configuration, or a section of one, as lines to be copied."""
    return yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, allow_unicode=True, width=1000)


def _run(subject: str) -> RunStore | None:
    """The run that is meant: a path of one, or a name that is nothing else."""
    named = checkpoints_folder() / subject
    is_run = (named / "run.json").is_file()
    if subject in CORPORA:
        if is_run:
            logger.info(f"{subject} is taken for the corpus; the run of that name is {named}.")
        return None
    for folder in (Path(subject).expanduser(), named):
        if (folder / "run.json").is_file():
            return RunStore.open(folder)
        if folder.exists():
            return None
    return None


def _asked_for(config: TopicsConfig, asked: Asked) -> TopicsConfig:
    changes: dict[str, Any] = {
        "count": asked.count,
        "words": asked.words or None,
        "seed_words": asked.seed_words or None,
        "topic": asked.topic,
    }
    return TopicsConfig(
        **{**config.model_dump(), **{key: value for key, value in changes.items() if value is not None}}
    )


def _read(model: TopicModel, passages: PassageSet) -> tuple[list[Passage], np.ndarray]:
    chosen = [passages.passages[at] for at in evenly_spaced(len(passages.passages), INFERRED_PASSAGES)]
    with timed("topics: reading passages"):
        return chosen, model.infer([passage.text for passage in chosen])
