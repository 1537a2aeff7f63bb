"""The inputs that all starts of a basin map share: texts, features and the round map."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.basin.certificate import CertificateConfig
from agent.basin.starts import Material, Start, of_poorer, starts
from agent.clustering.descent import size_and_trust
from agent.clustering.prior import restart_maps
from agent.clustering.round_map import RoundMap, Schedule
from agent.clustering.texts import View
from agent.corpora.load import load_corpus
from agent.corpora.passages import split
from agent.errors import BasinError
from agent.hub.embedders import embedder_fingerprint
from agent.language_model.model import LanguageModel
from agent.language_model.token_counts import in_words
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import log_odds
from agent.pointer.lda import fit_cached
from agent.pointer.topic_model import Pointer, TopicModel, pick
from agent.types import Document, PassageSet, seed_for
from loops.config import MapConfig, RunConfig
from loops.parallel import record_passages
from loops.round.context import claimed_size, embedded
from loops.round.pointer import fit_topics, refuse_given_pointer

logger = logging.getLogger(__name__)

NAMED_BY = 2
"""Words that name a topic."""


@dataclass(frozen=True)
class SweepInputs:
    """The data that a worker needs to follow a start."""

    round_map: RoundMap
    schedule: Schedule
    config: MapConfig
    certificate: CertificateConfig
    seed: int


@dataclass(frozen=True)
class MapSetup:
    """A map's corpus, topics and starts."""

    inputs: SweepInputs
    passages: PassageSet
    starts: list[Start]
    topic_scores: np.ndarray
    """Each topic's score of each document, shape [topic, document]."""
    topic_names: list[str]
    pointer: Pointer
    """The topic that the map is about."""
    contains_word: np.ndarray
    """Whether a document contains a word of the vocabulary, bool of shape [document, word]."""
    models: str = ""
    """Fingerprints of the models that read the passages."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.pointer.model.vocabulary


def prepare(map_config: MapConfig) -> MapSetup:
    """Read the corpus, record its activations, fit the topics and choose the starts.

    Raises:
        BasinError: the corpus, the models or the topics cannot be used, or no start can be made.
    """
    config = map_config.run
    refuse_given_pointer(config, "A map")
    documents = load_corpus(config.corpus)
    passages = split(documents, in_words(config.passages, config.language_model, documents))
    logger.info(f"Corpus: {passages.description}")
    model = fit_topics(config.corpus, passages, config.topics, config.seed, cached=True)
    pointer = pick(model, config.topics)
    logger.info(f"Pointer: topic {pointer.topic} ({', '.join(model.top_words(pointer.topic))})")
    expected, document_of = model.expected_words(passages.texts), numbered(passages.document_of)
    folds = seed_for(config.seed, 0, "folds")
    views, models = _views(config, passages)
    weights = model.weights(expected)
    scores = document_means(log_odds(weights[:, pointer.topic]), document_of)
    size = claimed_size(config, pointer.reading(expected), document_of)
    if config.clustering.size == "stable":
        maps, known = restart_maps(views, document_of, scores, size, config=config.clustering, seed=folds)
        size = size_and_trust(maps, known, config.clustering, folds)[0]
    logger.info(f"All starts are given the size {size:.1%} (clustering.size sets another).")
    features = [view.features for view in views]
    round_map = RoundMap.of_views(features, document_of, size, config.clustering, folds)
    names = [" ".join(model.top_words(topic, NAMED_BY)) for topic in range(model.count)]
    material = Material(
        weights,
        pointer.topic,
        document_of,
        passages.texts,
        [document.author for document in passages.documents],
        config.topics.words or config.topics.seed_words,
        names,
        model.language,
    )
    design = starts(material, map_config.starts, config.seed) + _poorer(map_config, passages, material)
    kinds = Counter(start.kind for start in design)
    logger.info(f"{len(design)} starts: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    schedule, seed = Schedule(config.clustering.falling), seed_for(config.seed, 0, "map")
    return MapSetup(
        SweepInputs(round_map, schedule, map_config, config.certificate, seed),
        passages,
        design,
        np.stack([material.scores(weights[:, topic]) for topic in range(model.count)]),
        names,
        pointer,
        _contained_words(passages, model),
        models,
    )


def _views(config: RunConfig, passages: PassageSet) -> tuple[list[View], str]:
    """The activations and, if used, the sentence embeddings; and their models."""
    components = config.clustering.components
    language_model = LanguageModel.load(config.language_model)
    activations = record_passages(language_model, passages.texts, workers=config.workers, ray=config.ray)
    views = [View.of(activations, components)]
    if config.clustering.embeddings:
        views.append(View.of(embedded(passages)[1][:, None], components))
    return views, f"{language_model.fingerprint} {embedder_fingerprint()}"


def _poorer(map_config: MapConfig, passages: PassageSet, material: Material) -> list[Start]:
    """Starts from models of fewer topics, passes and documents, each picked like the true one."""
    found, config = [], map_config.run
    for number in range(map_config.starts.poorer):
        count = max(2, config.topics.count // (2 if number % 2 else 4))
        worse = config.topics.model_copy(
            update={
                "count": count,
                "passes": 1 if number < 4 else config.topics.passes,
                "restarts": 1,
                "fit_on": "kept",
            }
        )
        generator = np.random.default_rng(seed_for(config.seed, number, "poorer"))
        try:
            model = fit_cached(_half(passages, generator), worse, seed_for(config.seed, number, "poorer"))
            pointer = pick(model, worse)
            found.append(of_poorer(number, pointer.weights(passages.texts), material))
        except BasinError as error:
            logger.info(f"Poorer topic {number} is left out: {error}")
    return found


def _half(passages: PassageSet, generator: np.random.Generator) -> Sequence[Document]:
    """Half of the documents, each reduced to its chosen passages."""
    texts: dict[int, list[str]] = {}
    for passage in passages.passages:
        texts.setdefault(passage.document, []).append(passage.text)
    chosen = sorted(generator.permutation(len(passages.documents))[: max(2, len(passages.documents) // 2)])
    return [Document(passages.documents[at].id, "\n".join(texts[at])) for at in chosen]


def _contained_words(passages: PassageSet, model: TopicModel) -> np.ndarray:
    index = {word: number for number, word in enumerate(model.vocabulary)}
    contained = np.zeros((len(passages.documents), len(index)), dtype=bool)
    for passage in passages.passages:
        known = [index[word] for word in model.words_of(passage.text) if word in index]
        contained[passage.document, known] = True
    return contained
