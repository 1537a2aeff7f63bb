"""The pointer and the first vector of a run: configured, or fitted to the corpus."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.corpora.load import CorpusConfig, iter_documents
from agent.corpora.words import ENGLISH, language, refuse_other_script
from agent.errors import BasinError
from agent.hub.pinned_packages import scratch_folder
from agent.language_model.model import LanguageModel
from agent.pointer import given, lda
from agent.pointer.topic_model import Pointer, TopicModel, TopicsConfig, pick
from agent.steering.control_vector import read_control_vector
from agent.steering.vector import SteeringVector
from agent.types import Document, PassageSet
from agent.updating import UpdatingConfig
from agent.updating.calibration import calibrate, calibration_texts
from loops.config import RunConfig

logger = logging.getLogger(__name__)


def fit_topics(
    corpus: CorpusConfig,
    passages: PassageSet,
    config: TopicsConfig,
    seed: int,
    fits: lda.FitCache | None = None,
    *,
    cached: bool = False,
) -> TopicModel:
    """The fitted topics of the texts that `config.fit_on` names.

    Args:
        fits: finished fits of this run.
        cached: use the cache of all runs, for documents in memory.

    Raises:
        BasinError: as `lda.fit` and `iter_documents`.
    """
    refuse_other_script([document.text for document in passages.documents], config.language)
    if config.fit_on == "all":

        def texts() -> Iterator[str]:
            return (document.text for document in iter_documents(corpus))

        if fits:
            return lda.fit_stream(texts, config, seed, fits.folder, fits)
        with scratch_folder("topics") as scratch:
            return lda.fit_stream(texts, config, seed, scratch)
    if cached:
        return lda.fit_cached(passages.documents, config, seed)
    return lda.fit(passages.documents, config, seed, fits)


def language_warning(config: TopicsConfig, language_model: str, judge: str | None) -> str | None:
    """A sentence on the parts of a run that assume English, or None for English texts."""
    if config.language == ENGLISH:
        return None
    known = language(config.language)
    share = f"{config.maximum_chunk_share:.0%}"
    listed = f" It has no list of stop words: only words in more than {share} of the chunks are left out."
    names = " Capitals do not tell names in it, so names stay among the words."
    readers = f"{language_model}, which reads and writes" + (
        f", and {judge}, which judges," if judge else ","
    )
    return (
        f"The texts are in {config.language!r}: it is not checked that {readers} can do so in it. Openings and the limits of "
        "coherence are taken from the corpus's own passages, so they are in it, too."
        f"{'' if known.is_listed else listed}{'' if known.marks_names else names}"
    )


def find_pointer(
    config: RunConfig, loaded: Sequence[Document], passages: PassageSet, fits: lda.FitCache | None = None
) -> Pointer:
    """The run's pointer; logs its words.

    Args:
        loaded: the documents of the corpus.
        fits: finished fits of this run.

    Raises:
        BasinError: as `fit_topics` and `pick`, or as `agent.pointer.given.point`.
    """
    if config.pointer.way is None:
        model = fit_topics(config.corpus, passages, config.topics, config.seed, fits)
        pointer = pick(model, config.topics)
    else:
        pointer = given.point(loaded, passages.documents, config.pointer, config.topics)
    words = ", ".join(pointer.model.top_words(pointer.topic))
    name = f"topic {pointer.topic}" if config.pointer.way in (None, "topic_model") else config.pointer.way
    logger.info(f"Pointer: {name} ({words})")
    if doubt := pointer.doubt(config.topics.words):
        logger.info(doubt)
    return pointer


def refuse_given_pointer(config: RunConfig, task: str) -> None:
    """Raise `BasinError` if a pointer is given, and `task` needs fitted topics."""
    if config.pointer.way is not None:
        raise BasinError(
            f"{task} needs fitted topics, and pointer.{config.pointer.way} gives one: leave the pointer "
            "section out."
        )


def starting_vector(config: UpdatingConfig) -> SteeringVector | None:
    """The configured first vector, as stored in its file, or None; raises as `read_control_vector`."""
    return None if config.start_vector is None else read_control_vector(Path(config.start_vector))


def calibrated_start(
    language_model: LanguageModel, vector: SteeringVector, config: UpdatingConfig, texts: Sequence[str]
) -> tuple[SteeringVector, float]:
    """Scale a given vector to the configured budget.

    Directions after the last block are left out, since steering has no effect there.

    Returns:
        the scaled vector, and the nats per token that it spends.

    Raises:
        BasinError: the vector has another width, or does not affect the model.
    """
    if vector.width != language_model.width:
        raise BasinError(
            f"updating.start_vector is {vector.width} wide and {language_model.config.name!r} {language_model.width}: "
            "it was made for another model."
        )
    reached = {layer: row for layer, row in vector.directions.items() if layer < language_model.depth}
    if len(reached) < len(vector.layers):
        logger.info(
            f"Of updating.start_vector, directions after the last block are left out: {len(reached)} of "
            f"{len(vector.layers)} stay."
        )
    if not reached:
        raise BasinError(
            f"updating.start_vector steers only after the last block of {language_model.config.name!r}: it was made for "
            "another model."
        )
    usable = SteeringVector(reached)
    reference = calibration_texts(texts, config.calibration_texts)
    scaled, nats = calibrate(language_model, usable, reference, config.budget_nats, config.calibration_tokens)
    first = usable.layers[0]
    factor = float(scaled.directions[first].norm() / usable.directions[first].norm().clamp(min=1e-12))
    logger.info(
        f"Starting generator: {config.start_vector}, times {factor:.3g}, which spends {nats:.3g} nats per token."
    )
    return scaled, nats
