"""The topics of a run's corpus: of the documents that it holds, or of all of them as they stream by."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent import topics
from agent.lda_stream import fit_stream
from agent.sources.corpora import CorpusConfig, iter_documents
from agent.sources.packages import scratch_folder
from agent.topic_cache import KeptFits, fit_cached
from agent.topics import TopicModel, TopicsConfig
from agent.types import PassageSet
from agent.words import ENGLISH, language

Say = Callable[[str], None]


def fit_topics(
    corpus: CorpusConfig,
    passages: PassageSet,
    config: TopicsConfig,
    seed: int,
    say: Say,
    kept: KeptFits | None = None,
    cached: bool = False,
) -> TopicModel:
    """The fitted topics, of what `config.fit_on` names.

    Args:
        kept: as in `topics.fit`.
        cached: give what was fitted before for the same documents, where they are held.

    Raises:
        BasinError: as `topics.fit` and `iter_documents`.
    """
    if config.fit_on == "all":

        def texts() -> Iterator[str]:
            return (document.text for document in iter_documents(corpus))

        if kept:
            return fit_stream(texts, config, seed, kept.folder, say, kept)
        with scratch_folder("topics") as scratch:
            return fit_stream(texts, config, seed, scratch, say)
    if cached:
        return fit_cached(passages.documents, config, seed, say)
    return topics.fit(passages.documents, config, seed, say, kept)


def spoken(config: TopicsConfig, language_model: str, judge: str | None) -> str | None:
    """The sentence that says what of a run takes texts for English although they are not, or None."""
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
        f"{'' if known.is_listed else listed}{'' if known.tells_names else names}"
    )
