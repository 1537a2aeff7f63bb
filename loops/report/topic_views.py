"""Fit or load the topics that `basin topics` shows: of a corpus, a config file or a stored run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

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
"""Shares and typical passages come from at most this many, since inference is slow."""
CORPORA = ("brown-fiction", "brown", "newsgroups")
"""Names that always mean the corpus, even if a run has the same name."""


@dataclass(frozen=True)
class TopicOptions:
    """Options that override those of the subject."""

    count: int | None = None
    words: tuple[str, ...] = ()
    seed_words: tuple[str, ...] = ()
    topic: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class TopicView:
    """A fitted model and the weights of its topics in some passages."""

    name: str
    corpus: CorpusConfig
    cut: PassagesConfig
    config: TopicsConfig
    seed: int
    model: TopicModel
    passages: PassageSet
    chosen: list[Passage]
    weights: Float[np.ndarray, "chosen topic"]
    only: int | None = None
    """The one topic to show."""
    picked: int | None = None
    """The topic that the configuration starts from, if it names one."""
    file: str | None = None
    """The config file, if there is one."""
    folder: Path | None = None
    """The run's folder, if the topics are a run's."""

    @property
    def thinned(self) -> int | None:
        """Passages per document in a whole configuration, if reading all would take long."""
        return enough_per_document(self.passages, self.cut)

    def order(self) -> list[int]:
        """Topic numbers: by probability on the configured words, or else by share."""
        key = self.model.mass_on(self.config.words) if self.config.words else self.weights.mean(axis=0)
        return [int(topic) for topic in np.argsort(-key, kind="stable")]

    def topics_tree(self, topic: int | None = None, words: Sequence[str] = ()) -> dict[str, Any]:
        """The `topics` section that starts from a topic, by number or by words."""
        tree = self.config.model_dump(mode="json", exclude_defaults=True, exclude={"topic", "words"})
        tree = {"count": self.config.count, **tree}
        return tree | ({"topic": topic} if topic is not None else {"words": list(words)} if words else {})

    def tree(self, topic: int | None = None, words: Sequence[str] = ()) -> dict[str, Any]:
        """A whole configuration that starts from a topic; it reads a part of long documents."""
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


def view_subject(subject: str, options: TopicOptions) -> TopicView:
    """The topics of a corpus, a config file or a run; raises `BasinError` as their readers."""
    if (run := _find_run(subject)) is not None:
        return view_run(run, options)
    file = Path(subject).expanduser()
    seed = options.seed or 0
    if file.suffix not in (".yaml", ".yml"):
        return _fit(
            named_corpus(subject), PassagesConfig(), _override(TopicsConfig(), options), seed, options.topic
        )
    config = load_config(file)
    refuse_given_pointer(config, "The list of topics")
    topics = _override(config.topics, options)
    seed = config.seed if options.seed is None else options.seed
    return _fit(config.corpus, config.passages, topics, seed, options.topic, file=str(file))


def _fit(
    corpus: CorpusConfig,
    cut: PassagesConfig,
    config: TopicsConfig,
    seed: int,
    only: int | None,
    *,
    file: str | None = None,
) -> TopicView:
    """Fit the topics of a corpus as a run would."""
    passages = split(load_corpus(corpus), cut)
    with timed("topics: fitting"):
        model = fit_topics(corpus, passages, config, seed)
    named = config.topic is not None or config.words or config.seed_words
    picked = pick(model, config).topic if named else None
    name = Path(file or corpus.source).name.removesuffix(".yaml").removesuffix(".yml")
    chosen, weights = _infer(model, passages)
    return TopicView(name, corpus, cut, config, seed, model, passages, chosen, weights, only, picked, file)


def view_run(store: RunStore, options: TopicOptions) -> TopicView:
    """The stored topics of a run, over its passages.

    Raises:
        BasinError: the options need another fit, or the run has no round.
    """
    if options.count is not None or options.seed is not None or options.seed_words:
        raise BasinError(
            f"The topics of the run {store.name} are stored and not fitted again; name its config file "
            "or its corpus with --topics, --seed or --seed-words."
        )
    pointer, passages, config = store.load_pointer(), store.load_passages(), store.config
    topics = config.topics.model_copy(update={"words": options.words} if options.words else {})
    if topics.words:
        pointer.model.mass_on(topics.words)  # refuses unknown words
    if options.topic is not None:
        pick(pointer.model, TopicsConfig(topic=options.topic))  # refuses unknown topics
    begun_with = store.about.get("config_file")
    chosen, weights = _infer(pointer.model, passages)
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
        only=options.topic,
        picked=pointer.topic,
        file=begun_with if begun_with and Path(begun_with).is_file() else None,
        folder=store.path,
    )


def config_text(tree: dict[str, Any]) -> str:
    """A configuration, or a section of one, as YAML."""
    text: str = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, allow_unicode=True, width=1000)
    return text


def _find_run(subject: str) -> RunStore | None:
    """The run that the subject names, by path or by name; None for anything else."""
    named = checkpoints_folder() / subject
    is_run = (named / "run.json").is_file()
    if subject in CORPORA:
        if is_run:
            logger.info(f"{subject} means the corpus; the run of that name is {named}.")
        return None
    for folder in (Path(subject).expanduser(), named):
        if (folder / "run.json").is_file():
            return RunStore.open(folder)
        if folder.exists():
            return None
    return None


def _override(config: TopicsConfig, options: TopicOptions) -> TopicsConfig:
    changes: dict[str, Any] = {
        "count": options.count,
        "words": options.words or None,
        "seed_words": options.seed_words or None,
        "topic": options.topic,
    }
    changed = {key: value for key, value in changes.items() if value is not None}
    return TopicsConfig(**{**config.model_dump(), **changed})


def _infer(
    model: TopicModel, passages: PassageSet
) -> tuple[list[Passage], Float[np.ndarray, "chosen topic"]]:
    chosen = [passages.passages[at] for at in evenly_spaced(len(passages.passages), INFERRED_PASSAGES)]
    with timed("topics: reading passages"):
        return chosen, model.infer([passage.text for passage in chosen])
