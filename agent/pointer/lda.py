"""Latent Dirichlet Allocation on long chunks of text, from memory or from a stream.

The fit is gensim's online variational Bayes (Hoffman, Blei and Bach 2010). A stream is read twice, to
count words and to write chunks to disk as word counts; LDA then reads a few hundred chunks at a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gensim.corpora import Dictionary, MmCorpus
from gensim.models import LdaModel
from jaxtyping import Float, Int
from safetensors import SafetensorError

from agent import processes
from agent.corpora import words as word_rules
from agent.corpora.words import CapitalCounts, language
from agent.errors import BasinError, writing
from agent.files.checked import DamagedError
from agent.hub.pinned_packages import cache_root
from agent.pointer.topic_model import (
    TopicModel,
    TopicsConfig,
    pick,
    read_topic_model,
    word_numbers,
    write_topic_model,
)
from agent.types import Document, seed_for

logger = logging.getLogger(__name__)

BATCH_CHUNKS = 2000  # up to here batch variational Bayes, above it online
ONLINE_CHUNKS = 256  # chunks an update: Hoffman et al. (2010), section 4, find a few hundred best
MOST_WORDS = 2_000_000
"""Distinct words counted at a time. Beyond, the rarest are dropped; none could be a topic's word."""
SECONDS_BETWEEN_MESSAGES = 30.0

LIBRARIES = tuple(map(version, ("gensim", "numpy", "stop-words", "regex")))

Bag = list[tuple[int, int]]
"""(index of a word, count) pairs of a chunk."""


def fit(
    documents: Iterable[Document], config: TopicsConfig, run_seed: int, cache: FitCache | None = None
) -> TopicModel:
    """Fit topics on chunks of `config.chunk_words` words.

    Raises `BasinError` if too few words survive the filters.
    """
    texts = [document.text for document in documents]
    dictionary = _count_words(texts, config)
    return _best_fit(list(_bags(texts, dictionary, config)), dictionary, config, run_seed, cache)


def fit_stream(
    read: Callable[[], Iterable[str]],
    config: TopicsConfig,
    run_seed: int,
    folder: Path,
    cache: FitCache | None = None,
) -> TopicModel:
    """Fit as `fit`, to the bit, on texts of which only one at a time is in memory.

    Args:
        read: begins a new pass over the texts.
        folder: for the chunks, about 12 bytes per distinct word of a chunk; removed at the end.

    Raises:
        BasinError: too few words survive the filters, or the disk does not take the chunks.
    """
    dictionary = _count_words(_with_messages(read(), "counting words"), config)
    scratch = folder / "chunks"
    try:
        with writing(folder, "make room there"):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            texts = _with_messages(read(), "writing chunks")
            MmCorpus.serialize(str(scratch / "bags.mm"), _bags(texts, dictionary, config))
            return _best_fit(MmCorpus(str(scratch / "bags.mm")), dictionary, config, run_seed, cache)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _count_words(texts: Iterable[str], config: TopicsConfig) -> Dictionary:
    """The words of a topic model: neither names nor too rare nor in too many chunks."""
    known, capitals, dictionary = language(config.language), CapitalCounts(config.language), Dictionary()
    spaces = 0
    for text in texts:
        spaces += text.count(" ")
        capitals.count(text)
        for chunk in known.chunks(text, config.chunk_words):
            dictionary.doc2bow(chunk, allow_update=True)
        if len(dictionary) > MOST_WORDS:
            dictionary.filter_extremes(no_below=0, no_above=1.0, keep_n=MOST_WORDS // 2)
            capitals.drop_rare(MOST_WORDS // 2)
    names, left = capitals.names(config.name_share), [len(dictionary)]
    read = dictionary.num_pos / max(spaces, 1)
    dictionary.filter_tokens(
        bad_ids=[dictionary.token2id[name] for name in names if name in dictionary.token2id]
    )
    left.append(len(dictionary))
    dictionary.filter_extremes(config.minimum_chunks, 1.0, keep_n=None)
    left.append(len(dictionary))
    dictionary.filter_extremes(config.minimum_chunks, config.maximum_chunk_share, keep_n=None)
    dictionary.compactify()
    if len(dictionary) < 2 * config.count:
        raise BasinError(_too_few([*left, len(dictionary)], read, dictionary.num_docs, config))
    return dictionary


def _too_few(left: list[int], read: float, chunks: int, config: TopicsConfig) -> str:
    """Which filter leaves too few words, and its remedy.

    Args:
        left: distinct words after stop words, names, rare words and frequent words are out.
        read: share of the running words that are no stop words.
    """
    words, without_names, not_rare, not_frequent = left
    need, least = 2 * config.count, config.minimum_chunks
    few = f"too few for {config.count} topics"
    if words < need and read < 0.1:
        return (
            f"All but {words} of the corpus's words are stop words of {config.language!r} or very short, {few}: set "
            "topics.language to the language of the texts, or to und, which has no stop words."
        )
    if without_names < need <= words:
        return f"All but {without_names} of the {words} words have capitals as names do, {few}: raise topics.name_share to 1."
    if not_frequent < need <= not_rare:
        return (
            f"All but {not_frequent} of the {not_rare} words occur in more than {config.maximum_chunk_share:.0%} of the "
            f"{chunks} text chunks, {few}: raise topics.maximum_chunk_share, or lower topics.chunk_words or topics.count."
        )
    return (
        f"Only {not_frequent} words occur in at least {least} of the {chunks} text chunks, {few}; give more text, or lower "
        "topics.minimum_chunks or topics.count."
    )


def _bags(texts: Iterable[str], dictionary: Dictionary, config: TopicsConfig) -> Iterator[Bag]:
    known = language(config.language)
    for text in texts:
        for chunk in known.chunks(text, config.chunk_words):
            yield dictionary.doc2bow(chunk)


def _best_fit(
    bags: list[Bag] | MmCorpus,
    dictionary: Dictionary,
    config: TopicsConfig,
    run_seed: int,
    cache: FitCache | None,
) -> TopicModel:
    """The restart whose picked topic has most mass on the words it is picked by."""
    vocabulary = tuple(dictionary[index] for index in range(len(dictionary)))
    eta = _prior(vocabulary, config, int(sum(count for bag in bags for _, count in bag)))
    seeds = [seed_for(run_seed, 0, f"topics/{restart}") for restart in range(config.restarts)]
    fits = [_Fit(bags, vocabulary, eta, config, seed) for seed in seeds]
    models: list[TopicModel] = []
    while waiting := fits[len(models) :][: processes.count()]:
        for number in range(len(models) + 1, len(models) + len(waiting) + 1):
            logger.info(f"topics: fit {number} of {len(fits)}, {len(bags)} chunks, {len(vocabulary)} words")
        models += processes.share(partial(_fitted, cache), waiting)
    best: tuple[float, TopicModel] | None = None
    for model in models:
        score = 0.0
        if config.restarts > 1 and (config.words or config.seed_words):
            mass = model.mass_on(config.words or config.seed_words)
            score = float(mass[pick(model, config).topic])
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None
    return best[1]


def _fitted(cache: FitCache | None, once: _Fit) -> TopicModel:
    return cache(once.digest(), once.run) if cache else once.run()


def _prior(vocabulary: tuple[str, ...], config: TopicsConfig, words: int) -> Float[np.ndarray, "topic word"]:
    """Dirichlet prior of the topics' words; `words` is the number of running words."""
    eta = np.full((config.count, len(vocabulary)), 1 / config.count, dtype=np.float64)
    if config.seed_words:
        known = word_numbers(vocabulary, config.seed_words, config.language)
        if not known:
            raise BasinError(
                f"None of topics.seed_words ({', '.join(config.seed_words)}) survives in this corpus; choose other words."
            )
        eta[0, known] += config.seed_strength * words / config.count / len(known)
    return eta


@dataclass(frozen=True)
class _Fit:
    """One LDA fit from one seed."""

    bags: list[Bag] | MmCorpus
    vocabulary: tuple[str, ...]
    eta: Float[np.ndarray, "topic word"]
    config: TopicsConfig
    seed: int

    def digest(self) -> str:
        """24 hex digits of all that the fit depends on."""
        digest = hashlib.sha256(
            repr((self.vocabulary, self.config, self.seed, *LIBRARIES)).encode("utf-8", "surrogatepass")
        )
        digest.update(self.eta.tobytes())
        for bag in self.bags:
            digest.update(np.asarray(bag, dtype=np.int64).tobytes() + b"|")
        return digest.hexdigest()[:24]

    def run(self) -> TopicModel:
        batch = len(self.bags) <= BATCH_CHUNKS
        model = LdaModel(
            self.bags,
            id2word=dict(enumerate(self.vocabulary)),
            num_topics=self.config.count,
            passes=self.config.passes,
            iterations=100,
            chunksize=BATCH_CHUNKS if batch else ONLINE_CHUNKS,
            update_every=0 if batch else 1,
            eta=self.eta,
            eval_every=None,
            random_state=self.seed,
            dtype=np.float64,
        )
        return TopicModel(
            vocabulary=self.vocabulary,
            topic_word_counts=np.asarray(model.state.get_lambda(), dtype=np.float64),
            alpha=np.asarray(model.alpha, dtype=np.float64),
            seed=self.seed,
            language=self.config.language,
        )


class FitCache:
    """Finished fits in a folder; a fit that was killed starts again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, digest: str, fit: Callable[[], TopicModel]) -> TopicModel:
        """The kept fit of this digest, or else the result of `fit`, which is kept where the disk allows it."""
        path = self.folder / f"{digest}.safetensors"
        try:
            return read_topic_model(path)
        except (OSError, BasinError, DamagedError):
            found = fit()
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_topic_model(found, draft)
            draft.replace(path)
        except (OSError, SafetensorError) as error:
            logger.warning(f"A fitted topic model is not cached, since {self.folder} refuses it: {error}")
        return found


def fit_cached(documents: Sequence[Document], config: TopicsConfig, run_seed: int) -> TopicModel:
    """`fit`, or its result for the same documents, settings, seed and code in the cache of all runs.

    `config` includes how a topic is picked, which decides among restarts. Raises `BasinError` as
    `fit`.
    """
    if config.fit_on == "all":
        raise BasinError(
            "topics.fit_on: all is for runs, maps and `basin topics`, which read a corpus as a stream: leave it out."
        )
    parts = [config.model_dump(mode="json"), run_seed, *LIBRARIES]
    code = b"".join(Path(file).read_bytes() for file in (__file__, word_rules.__file__))
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode() + code)
    for document in documents:
        digest.update(hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest())
    kept = FitCache(cache_root() / "topics")
    return kept(digest.hexdigest()[:24], lambda: fit(documents, config, run_seed))


def seeded_counts(
    model: TopicModel, config: TopicsConfig
) -> tuple[Int[np.ndarray, "seed"], Float[np.ndarray, "seed"]]:
    """Indices of the seed words, and the count that the prior alone gave each in topic 0.

    The fit stores counts plus prior. The prior sums to the vocabulary's size plus `seed_strength /
    count` times the running words, so both follow from the stored sum.
    """
    known = np.array(word_numbers(model.vocabulary, config.seed_words, config.language), dtype=np.int64)
    share = config.seed_strength / config.count
    running = (model.topic_word_counts.sum() - len(model.vocabulary)) / (1 + share)
    return known, np.full(len(known), share * running / max(len(known), 1))


def _with_messages(texts: Iterable[str], what: str) -> Iterator[str]:
    last = time.monotonic()
    for number, text in enumerate(texts, 1):
        yield text
        if time.monotonic() - last > SECONDS_BETWEEN_MESSAGES:
            logger.info(f"topics: {what}, {number:,} documents so far")
            last = time.monotonic()
