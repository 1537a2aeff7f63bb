"""The inputs that all rounds of a run share: real passages, pointer, models and prior."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.prior import Prior, estimate_prior, no_concept, size_sentence, trust_sentence
from agent.clustering.texts import Texts
from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import split
from agent.errors import BasinError
from agent.hub.embedders import embed, embedder_fingerprint, load_embedder
from agent.language_model.activation_cache import embed_cached
from agent.language_model.adapter import Adapter
from agent.language_model.architecture import longest_sequence
from agent.language_model.coherence import Coherence
from agent.language_model.model import LanguageModel
from agent.language_model.token_counts import in_words, say_cut, token_lengths
from agent.membership.log_odds import log_odds
from agent.pointer.lda import FitCache
from agent.pointer.topic_model import Pointer, PointerReading
from agent.pointer.word_similarity import Embed, WordSimilarity
from agent.progress import begin_stage
from agent.types import PassageSet, seed_for
from loops.checkpoint.run_models import JUDGING, keep_model
from loops.checkpoint.store import RunStore
from loops.config import RunConfig
from loops.parallel import prepare_writing, record_passages
from loops.round.forecast import forecast
from loops.round.partial import PartialWork
from loops.round.pointer import find_pointer, language_warning, starting_vector

logger = logging.getLogger(__name__)

SMALLEST_SIZE, LARGEST_SIZE = 0.02, 0.5
"""Bounds of the share of the corpus that a run starts from, whatever the pointer claims."""


@dataclass(frozen=True)
class RunContext:
    """What every round shares. Immutable."""

    config: RunConfig
    passages: PassageSet
    pointer: Pointer
    real: Texts
    """The real passages: activations, pointer log-odds and, where configured, sentence embeddings."""
    prior: Prior
    language_model: LanguageModel
    coherence: Coherence
    no_concept: str | None
    """A sentence where the pointer singles out nothing, else None."""
    scratch: Path
    """Folder for unfinished work of a round, the only place that a round writes to."""
    embed: Embed | None = None
    """The sentence embedder, where re-clustering uses one."""
    similarity: WordSimilarity | None = None
    """To the given words, where the pointer uses it."""
    preparation: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage before round 0."""
    corpus_adapter: Adapter | None = None
    """Trained on all documents alike; None where the configuration trains none."""

    @cached_property
    def base(self) -> LanguageModel:
        """The model that writes where no concept does: with the corpus's adapter, if there is one."""
        return self.language_model.adapted(self.corpus_adapter)

    @cached_property
    def whole_passages(self) -> PassageSet:
        """The passages with their documents' texts; raises as `with_texts`."""
        return with_texts(self.passages, self.config.corpus)

    @property
    def size(self) -> float:
        return self.prior.size

    @property
    def partial(self) -> PartialWork:
        return PartialWork(self.scratch)


@dataclass
class Costs:
    """Seconds of each stage of a round."""

    round: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        begin_stage(self.round, name)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def total(self) -> dict[str, float]:
        return {**self.seconds, "peak_gb": peak_gigabytes()}


def open_context(store: RunStore, accept_model: bool = False) -> RunContext:
    """The context of a run, from round 0 or, if there is no round yet, from the corpus.

    Args:
        accept_model: go on with other models than those of the stored rounds.

    Raises:
        BasinError: the corpus, the pointer or a model cannot be loaded, round 0 is damaged, or a
            model is not the one that the rounds were made with.
    """
    rounds, config = store.rounds(), store.config
    costs = Costs(rounds[-1] + 1 if rounds else 0)
    if rounds:
        passages, pointer = store.load_passages(), store.load_pointer()
    else:
        with costs.stage("topics"):
            starting_vector(config.updating)  # a wrong file is refused before anything is read
            documents = load_corpus(config.corpus)
            passages = split(documents, in_words(config.passages, config.language_model, documents))
            logger.info(f"Corpus: {passages.description}")
            if warning := language_warning(config.topics, config.language_model.name, config.coherence.model):
                logger.info(warning)
            pointer = find_pointer(config, documents, passages, FitCache(store.scratch / "topics"))
    with costs.stage("load"):
        language_model = LanguageModel.load(config.language_model)
        keep_model(store, language_model, accept=accept_model)  # another one is refused before it records
    context = prepare(config, passages, pointer, store.scratch, language_model=language_model, costs=costs)
    keep_judge(store, context, accept_model)
    return context


def keep_judge(store: RunStore, context: RunContext, accept: bool = False) -> None:
    """`keep_model` for the model that judges coherence, if there is one."""
    if context.coherence.language_model is not None:
        keep_model(store, context.coherence.language_model, JUDGING, accept=accept)


def prepare(
    config: RunConfig,
    passages: PassageSet,
    pointer: Pointer,
    scratch: Path,
    *,
    language_model: LanguageModel | None = None,
    costs: Costs | None = None,
) -> RunContext:
    """Load the models, record every real passage, and estimate the prior.

    Args:
        scratch: folder for unfinished work.
        language_model: the configured one, where it is loaded already.

    Raises:
        BasinError: a model cannot be loaded or recorded, or the configuration does not fit it.
    """
    costs, teaches = costs or Costs(), config.updating.adapter_from is not None
    with costs.stage("load"):
        language_model = language_model or LanguageModel.load(config.language_model)
        config.updating.steered_layers(language_model.layers)  # refused before anything is read
        if teaches:
            lesson = config.updating.adapting.lesson
            lesson.check_window(longest_sequence(language_model.model), language_model.name)
        logger.info(forecast(config, passages, language_model))
        batch = config.updating.adapting.lora.batch if teaches else None
        prepare_writing(language_model, config.generation, batch)
        coherence = Coherence.load(passages.texts, config.coherence)
    language_model.say_cut(passages.texts)
    with costs.stage("record"):
        activations = record_passages(language_model, passages.texts, workers=config.workers, ray=config.ray)
        embed, embeddings = embedded(passages) if config.clustering.embeddings else (None, None)
    reading, document_of = pointer.read(passages.texts), passages.document_of
    topic = pointed = log_odds(reading.weights)
    similarity = None
    if (words := config.pointing_words) and embed is not None and embeddings is not None:
        similarity = WordSimilarity.fit(words, embed, topic, embeddings)
        pointed = similarity.joined(topic, embeddings)
        logger.info(f"The given words point like the topic; they correlate by {similarity.correlation:.2f}.")
    real = Texts(activations, pointed, embeddings=embeddings)
    claimed = claimed_size(config, reading, document_of)
    with costs.stage("trust"):
        folds = seed_for(config.seed, 0, "folds")
        found = estimate_prior(real, document_of, claimed, config.clustering, folds, topic=topic)
    spread = reading.document_spread(document_of)
    logger.info(f"{size_sentence(found, config.clustering)} {trust_sentence(found)}")
    logger.info(
        f"The activations fit the topic better than a shuffled one (z-score {found.z_score:.1f}); it covers "
        f"{spread:.0%} of the documents."
    )
    nothing = no_concept(found.z_score, spread, config.clustering)
    adapter = None
    if teaches and config.updating.adapting.lesson.corpus_tokens and not nothing:
        with costs.stage("adapt"):
            adapter = _corpus_adapter(config, passages, language_model, scratch)
    rest = (language_model, coherence, nothing, scratch, embed, similarity, costs.seconds, adapter)
    return RunContext(config, passages, pointer, real, found, *rest)


def embedded(passages: PassageSet) -> tuple[Embed, Float[np.ndarray, "passage column"]]:
    """The sentence embedder, and the cached embeddings of the real passages."""
    embedder = load_embedder()
    lengths, limit = token_lengths(embedder.tokenizer, passages.texts), embedder.max_seq_length
    what = "passages are longer than the sentence embedder reads"
    remedy = "give shorter ones (passages.tokens)"
    say_cut(embedder.tokenizer, what, lengths, limit or max(lengths), remedy, again=True)
    real = embed_cached(embedder, embedder_fingerprint(), passages.texts)[:, 0]
    return embed, real


def _corpus_adapter(
    config: RunConfig, passages: PassageSet, language_model: LanguageModel, scratch: Path
) -> Adapter:
    """The adapter of all documents."""
    from agent.adapting.corpus_adapter import fit_corpus  # slow to import

    return fit_corpus(
        language_model,
        passages,
        config.updating.adapting,
        with_texts=lambda: with_texts(passages, config.corpus),
        seed=seed_for(config.seed, 0, "corpus adapter"),
        folder=scratch / "corpus",
    )


def with_texts(passages: PassageSet, corpus: CorpusConfig) -> PassageSet:
    """The passages with their documents' texts, which a stored run does not keep.

    Raises `BasinError` if the corpus lacks one of them by now.
    """
    if all(document.text for document in passages.documents):
        return passages
    found = {document.id: document for document in load_corpus(corpus)}
    if lost := sum(document.id not in found for document in passages.documents):
        raise BasinError(
            f"{lost} of the run's {len(passages.documents)} documents are not in {corpus.source} any more, and an adapter is "
            "trained on whole documents: restore them."
        )
    return replace(passages, documents=tuple(found[document.id] for document in passages.documents))


def claimed_size(
    config: RunConfig, reading: PointerReading, document_of: Int[np.ndarray, "passage"]
) -> float:
    """The share of the corpus that the pointer claims, within bounds, or the configured one."""
    size = config.clustering.size
    if isinstance(size, float):
        return size
    claimed = reading.claim(config.seeded, document_of)
    bounded = float(np.clip(claimed, SMALLEST_SIZE, LARGEST_SIZE))
    if bounded != claimed and size == "claimed":
        logger.info(
            f"The pointer claims {claimed:.1%} of the corpus; the run starts from {bounded:.0%}. Look at the topic (`basin "
            "topics`), or set clustering.size."
        )
    return bounded


def peak_gigabytes() -> float:
    """Peak memory of this process, in GB (1e9 bytes)."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024) / 1e9
