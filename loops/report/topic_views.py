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

from agent.corpora.load import load_corpus, named_corpus
from agent.corpora.passages import enough_per_document, evenly_spaced, split
from agent.corpora.words import unspaced_language
from agent.errors import BasinError
from agent.language_model.token_counts import in_words, proposed_length
from agent.pointer.topic_model import TopicModel, TopicsConfig, pick
from agent.progress import timed
from agent.types import Passage, PassageSet
from loops.checkpoint.find import checkpoints_folder
from loops.checkpoint.store import RunStore
from loops.config import RunConfig, load_config
from loops.round.pointer import fit_topics, refuse_given_pointer

logger = logging.getLogger(__name__)

INFERRED_PASSAGES = 3000
"""Shares and typical passages come from at most this many, since inference is slow."""
NEGLIGIBLE = 0.005
"""Weights below this, which print as 0.00, are not of a topic."""
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
    config: RunConfig
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
    def words(self) -> tuple[str, ...]:
        """Words of the configuration, by which topics are ranked."""
        return self.config.topics.words

    @property
    def thinned(self) -> int | None:
        """Passages per document in a whole configuration, if reading all would take long."""
        return enough_per_document(self.passages, self.config.passages)

    def order(self) -> list[int]:
        """Topic numbers: by probability on the configured words, or else by share."""
        key = self.model.mass_on(self.words) if self.words else self.weights.mean(axis=0)
        return [int(topic) for topic in np.argsort(-key, kind="stable")]

    def typical(self, topic: int) -> list[int]:
        """Indices of a topic's passages, by falling weight."""
        ranked = np.argsort(-self.weights[:, topic], kind="stable")
        return [int(at) for at in ranked if self.weights[at, topic] >= NEGLIGIBLE]

    def lines(self, topic: int | None = None, words: Sequence[str] = ()) -> str:
        """YAML that starts from a topic, by number or by words; words of a number point beside it.

        Of a config file, the section `topics`. Otherwise a whole configuration, which reads a part of
        long documents.
        """
        config = self.config
        topics = config.topics.model_dump(mode="json", exclude_defaults=True, exclude={"topic", "words"})
        topics = {"count": config.topics.count, **topics}
        topics |= {"topic": topic} if topic is not None else {}
        topics |= {"words": list(words)} if words else {}
        if self.file is not None:
            return _yaml({"topics": topics})
        source = Path(config.corpus.source).expanduser()
        corpus = config.corpus.model_dump(mode="json", exclude_defaults=True)
        corpus["source"] = str(source.resolve()) if source.exists() else config.corpus.source
        cut = config.passages.model_dump(mode="json", exclude_defaults=True)
        if self.thinned is not None:
            cut["per_document"] = self.thinned
        tree = {"corpus": corpus, "passages": cut, "topics": topics, "seed": config.seed}
        return _yaml({key: value for key, value in tree.items() if value})


def view_subject(subject: str, options: TopicOptions) -> TopicView:
    """The topics of a corpus, a config file or a run; raises `BasinError` as their readers."""
    if (run := _find_run(subject)) is not None:
        return view_run(run, options)
    file = Path(subject).expanduser()
    from_file = file.suffix in (".yaml", ".yml")
    config = load_config(file) if from_file else RunConfig(corpus=named_corpus(subject))
    refuse_given_pointer(config, "The list of topics")
    topics = _override(config.topics, options)
    seed = config.seed if options.seed is None else options.seed
    config = config.model_copy(update={"topics": topics, "seed": seed})
    documents = load_corpus(config.corpus)
    if not from_file:
        length = proposed_length(config.passages, config.language_model, documents)
        if found := unspaced_language([document.text for document in documents]):
            topics = topics.model_copy(update={"language": found})
        config = config.model_copy(update={"passages": length, "topics": topics})
    passages = split(documents, in_words(config.passages, config.language_model, documents))
    with timed("topics: fitting"):
        model = fit_topics(config.corpus, passages, topics, seed)
    named = topics.topic is not None or topics.words or topics.seed_words
    picked = pick(model, topics).topic if named else None
    name = file.name.removesuffix(".yaml").removesuffix(".yml")
    chosen, weights = _infer(model, passages)
    described = str(file) if from_file else None
    return TopicView(name, config, model, passages, chosen, weights, options.topic, picked, described)


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
    if options.words:
        topics = _override(config.topics, TopicOptions(words=options.words))
        config = config.model_copy(update={"topics": topics})
    if config.topics.words:
        pointer.model.mass_on(config.topics.words)  # refuses unknown words
    if options.topic is not None:
        pick(pointer.model, TopicsConfig(topic=options.topic))  # refuses unknown topics
    begun_with = store.about.get("config_file")
    file = begun_with if begun_with and Path(begun_with).is_file() else None
    chosen, weights = _infer(pointer.model, passages)
    shown = pointer.model, passages, chosen, weights, options.topic, pointer.topic, file
    return TopicView(store.name, config, *shown, folder=store.path)


def _yaml(tree: dict[str, Any]) -> str:
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
