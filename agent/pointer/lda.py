"""The pointer: an LDA topic fitted on long chunks and read off on passages.

The topic is an ellipse around the concept. It is used to start from and as one factor of the posterior, never to
filter what is written. Latent Dirichlet Allocation is gensim's (Hoffman, Blei and Bach 2010, online variational Bayes).
"""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from jaxtyping import Bool, Float, Int
from pydantic import Field, field_validator

from agent.corpora.words import CODE, ENGLISH, language, name_like_words
from agent.errors import BasinError
from agent.pointer.lda_in_steps import LdaInSteps
from agent.types import Document, StageConfig, seed_for

logger = logging.getLogger(__name__)

BATCH_CHUNKS = 2000  # up to here batch variational Bayes, above it online
ONLINE_CHUNKS = 256  # chunks between online updates: Hoffman et al. (2010), section 4, find few hundred best
Bag = Sequence[tuple[int, int]]
"""(number of a word, how often) of a chunk."""
SURE_WORDS = 50
"""A topic that points well has many of the words it was picked by among so many of its most probable."""


class TopicsConfig(StageConfig):
    """How the pointer is fitted and which topic it is."""

    count: int = Field(10, ge=2)
    """Number of LDA topics."""
    chunk_words: int = Field(1000, ge=50)
    """Length of the pieces the model is fitted on; topics of short passages are not what a reader would pick."""
    passes: int = Field(20, ge=1)
    restarts: int = Field(1, ge=1)
    """Fits from different seeds; the one whose picked topic holds most of `words` is kept."""
    minimum_chunks: int = Field(5, ge=1)
    """A word must occur in this many chunks."""
    maximum_chunk_share: float = Field(0.5, gt=0, le=1)
    """A word in a larger share of the chunks is a function word here."""
    name_share: float = Field(0.5, gt=0, le=1)
    """A word capitalised inside sentences more often than this is taken for a name and removed; not in German, where every
    noun has a capital."""
    language: str = ENGLISH
    """What the texts are written in (ISO 639, as `de`; `und` where it is none or several): how words are told apart and which
    hold sentences together."""
    fit_on: Literal["kept", "all"] = "kept"
    """`all`: on every document of the corpus, read as a stream; else on those that are held (see `corpus.sample`)."""
    topic: int | None = None
    """Pick the topic by number."""
    words: tuple[str, ...] = ()
    """Pick the topic that holds most of its mass on these words."""
    seed_words: tuple[str, ...] = ()
    """Words whose prior is raised in topic 0, which is then the pointer (gensim's `eta` as a matrix)."""
    seed_strength: float = Field(1.0, gt=0)
    """Pseudo-counts on the seed words together, in units of an average topic's words: 1 makes the prior weigh as much
    as the text. Much less, and the seeded topic wanders off with whatever co-occurs in a small corpus."""

    @field_validator("language")
    @classmethod
    def _code(cls, code: str) -> str:
        if not CODE.fullmatch(code):
            raise ValueError(
                "give the language by its code in ISO 639, such as de or fr; und for none or several"
            )
        return code


@dataclass(frozen=True)
class TopicModel:
    """A fitted LDA model as plain arrays, so that it can be stored without pickling."""

    vocabulary: tuple[str, ...]
    topic_word_counts: Float[np.ndarray, "topic word"]
    """Variational parameter lambda of Hoffman et al. (2010), eq. 3: expected word counts plus prior."""
    alpha: Float[np.ndarray, "topic"]
    """Dirichlet prior of the topic weights of a text."""
    seed: int
    language: str = ENGLISH

    @property
    def count(self) -> int:
        return len(self.alpha)

    @property
    def topic_word(self) -> Float[np.ndarray, "topic word"]:
        """p(word | topic); rows sum to 1."""
        return self.topic_word_counts / self.topic_word_counts.sum(axis=1, keepdims=True)

    def top_words(self, topic: int, count: int = 12) -> list[str]:
        order = np.argsort(-self.topic_word[topic], kind="stable")
        return [self.vocabulary[index] for index in order[:count]]

    def infer(self, texts: Sequence[str]) -> Float[np.ndarray, "text topic"]:
        """Posterior mean topic weights of each text; rows sum to 1. A text without known words gets the prior."""
        return self.weights(self.expected_words(texts))

    def weights(self, expected_words: Float[np.ndarray, "text topic"]) -> Float[np.ndarray, "text topic"]:
        """What `infer` gives, where the expected words are at hand already."""
        counts = expected_words + self.alpha
        return counts / counts.sum(axis=1, keepdims=True)

    def expected_words(self, texts: Sequence[str]) -> Float[np.ndarray, "text topic"]:
        """Words of each text expected to come from each topic (gamma - alpha of Hoffman et al. 2010, eq. 3)."""
        index = {word: number for number, word in enumerate(self.vocabulary)}
        bags = [
            sorted(Counter(index[word] for word in self.words_of(text) if word in index).items())
            for text in texts
        ]
        model = LdaModel(
            id2word=dict(enumerate(self.vocabulary)),
            num_topics=self.count,
            alpha=self.alpha.astype(np.float32),
            iterations=200,
            gamma_threshold=1e-4,
            random_state=self.seed,
        )
        model.state.sstats = self.topic_word_counts.astype(np.float32) - model.eta
        model.sync_state()
        expected = np.empty((len(texts), self.count))
        for row, bag in enumerate(bags):
            # A fresh generator per text: its weights must not depend on the texts inferred before it.
            model.random_state = np.random.RandomState(self.seed)
            gamma, _ = model.inference([bag])
            expected[row] = np.maximum(gamma[0] - self.alpha, 0)
        return expected

    def words_of(self, text: str) -> list[str]:
        """The words of a text that topics are made of, in this model's language."""
        return language(self.language).words_of(text)

    def mass_on(self, words: Sequence[str]) -> Float[np.ndarray, "topic"]:
        """Share of each topic's probability mass that lies on `words`.

        Raises:
            BasinError: none of the words is in the vocabulary.
        """
        known = _known(self.vocabulary, words)
        if not known:
            raise BasinError(
                f"None of the words {', '.join(words)} is in the topic model's vocabulary of {len(self.vocabulary)} words; "
                "choose words that occur in the corpus, in several documents."
            )
        return self.topic_word[:, known].sum(axis=1)


@dataclass(frozen=True)
class PointerReading:
    """What the pointer makes of some texts."""

    weights: Float[np.ndarray, "text"]
    """q0(x): the topic's weight in each text, in [0, 1]."""
    expected_words: Float[np.ndarray, "text"]
    """Words of each text expected to come from the topic."""
    words: Float[np.ndarray, "text"]
    """Words of each text that the model knows."""

    def of(self, part: Bool[np.ndarray, "text"]) -> PointerReading:
        """The reading of some of the texts."""
        return PointerReading(self.weights[part], self.expected_words[part], self.words[part])

    def document_spread(self, document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the documents that the topic is spread over, in (0, 1]: all alike give 1, one document of n gives 1 / n.

        The inverse of Simpson's index of the topic's rate in the documents, over their number. Function words are spread
        over nearly all documents, whatever these are about.
        """
        words = np.maximum(np.bincount(document_of, weights=self.words), 1)
        rates = np.bincount(document_of, weights=self.expected_words) / words
        squares = float((rates**2).sum())
        return float(rates.sum() ** 2 / squares / len(rates)) if squares > 0 else 1.0

    def presence(self, document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the documents in which at least one word is expected to come from the topic; in [0, 1]."""
        expected = np.bincount(document_of, weights=self.expected_words)
        return float((expected >= 1).mean())

    def claim(self, seeded: bool, document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the texts that the topic claims by itself: its mean weight, of a seeded topic its presence.

        A seeded topic holds few words of any text, so its mass says nothing; the documents it speaks in do.
        """
        return self.presence(document_of) if seeded else float(self.weights.mean())


@dataclass(frozen=True)
class Pointer:
    """One topic of a topic model: the seed of a concept."""

    model: TopicModel
    topic: int

    def holds(self, words: Sequence[str]) -> list[str]:
        """Those of the words that are among the topic's `SURE_WORDS` most probable: the more, the better it points."""
        probable = set(self.model.top_words(self.topic, SURE_WORDS))
        return [word for word in words if word.lower() in probable]

    def doubt(self, words: Sequence[str]) -> str | None:
        """The sentence that says that a topic picked by words hardly holds them, or None."""
        held = self.holds(words)
        if not words or len(held) >= len(words) / 3:
            return None
        return (
            f"Only {len(held)} of the {len(words)} words are among the {SURE_WORDS} most probable of the topic: it may point "
            "at something else. Look at it (`basin topics`), fit more topics (topics.count), or seed one (topics.seed_words)."
        )

    def weights(self, texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        """q0(x): the topic's weight in each text, in [0, 1]."""
        return self.read(texts).weights

    def presence(self, texts: Sequence[str], document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the documents that the topic speaks in; see `PointerReading.presence`."""
        return self.read(texts).presence(document_of)

    def read(self, texts: Sequence[str]) -> PointerReading:
        """What `weights` and `presence` are taken from, for both of one inference: it takes its time."""
        return self.reading(self.model.expected_words(texts))

    def reading(self, expected_words: Float[np.ndarray, "text topic"]) -> PointerReading:
        """What `read` gives, where the model's expected words are at hand already."""
        weights = self.model.weights(expected_words)[:, self.topic]
        return PointerReading(weights, expected_words[:, self.topic], expected_words.sum(axis=1))


def fit(
    documents: Sequence[Document],
    config: TopicsConfig,
    run_seed: int,
    kept: Callable[[str, Callable[[Path], TopicModel]], TopicModel] | None = None,
) -> TopicModel:
    """Fit LDA on chunks of `config.chunk_words` words.

    Args:
        kept: told a digest of all that one fit depends on, and how to make it given a file for its state on the way; gives it
            made, or as it was made before.

    Raises:
        BasinError: too few words survive the filters to fit a topic model.
    """
    known = language(config.language)
    names = name_like_words((document.text for document in documents), config.name_share, config.language)
    chunks = [
        [word for word in chunk if word not in names]
        for document in documents
        for chunk in known.chunks(document.text, config.chunk_words)
    ]
    dictionary = Dictionary(chunks)
    keep_topic_words(dictionary, config)
    bags = [dictionary.doc2bow(chunk) for chunk in chunks]
    return fit_bags(bags, dictionary, sum(count for bag in bags for _, count in bag), config, run_seed, kept)


def keep_topic_words(dictionary: Dictionary, config: TopicsConfig) -> None:
    """Leave the words in a dictionary that are neither too rare nor in too many chunks; raises as `fit`."""
    dictionary.filter_extremes(config.minimum_chunks, config.maximum_chunk_share, keep_n=None)
    dictionary.compactify()
    if len(dictionary) < 2 * config.count:
        raise BasinError(
            f"Only {len(dictionary)} words occur in at least {config.minimum_chunks} of the {dictionary.num_docs} text chunks, "
            f"too few for {config.count} topics; give more text, or lower topics.minimum_chunks or topics.count."
        )


def fit_bags(
    bags: Sequence[Bag],
    dictionary: Dictionary,
    words: int,
    config: TopicsConfig,
    run_seed: int,
    kept: Callable[[str, Callable[[Path], TopicModel]], TopicModel] | None = None,
) -> TopicModel:
    """As `fit`, of chunks that are counted already, wherever they lie; `words` running words in all."""
    vocabulary = tuple(dictionary[index] for index in range(len(dictionary)))
    eta = _prior(vocabulary, config, words)
    best: tuple[float, TopicModel] | None = None
    for restart in range(config.restarts):
        logger.info(
            f"topics: fit {restart + 1} of {config.restarts}, {len(bags)} chunks, {len(vocabulary)} words"
        )
        seed = seed_for(run_seed, 0, f"topics/{restart}")
        fit_once = partial(_fit_once, bags, dictionary, vocabulary, eta, config, seed)
        model = kept(_digest(bags, vocabulary, eta, config, seed), fit_once) if kept else fit_once()
        score = 0.0
        if config.restarts > 1 and (config.words or config.seed_words):
            mass = model.mass_on(config.words or config.seed_words)
            score = float(mass[pick(model, config).topic])
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None
    return best[1]


def pick(model: TopicModel, config: TopicsConfig) -> Pointer:
    """The topic that the configuration names: by number, as the seeded one, or by words.

    Raises:
        BasinError: no topic is named, or the number does not exist.
    """
    if config.topic is not None:
        if not 0 <= config.topic < model.count:
            raise BasinError(
                f"There is no topic {config.topic}; the model has topics 0 to {model.count - 1} (see `basin topics`)."
            )
        return Pointer(model, config.topic)
    if config.words:
        return Pointer(model, int(np.argmax(model.mass_on(config.words))))
    if config.seed_words:
        return Pointer(model, 0)
    raise BasinError(
        "No topic is chosen; set topics.topic, topics.words or topics.seed_words (see `basin topics`)."
    )


def _known(vocabulary: Sequence[str], words: Sequence[str]) -> list[int]:
    """Numbers in the vocabulary of those words that are in it."""
    index = {word: number for number, word in enumerate(vocabulary)}
    plain = [unicodedata.normalize("NFC", word).lower() for word in words]
    return [index[word] for word in plain if word in index]


def _prior(vocabulary: Sequence[str], config: TopicsConfig, words: int) -> Float[np.ndarray, "topic word"]:
    """The Dirichlet prior of the topics' words, `words` being the running words of the fit."""
    eta = np.full((config.count, len(vocabulary)), 1 / config.count, dtype=np.float64)
    if config.seed_words:
        known = _known(vocabulary, config.seed_words)
        if not known:
            raise BasinError(
                f"None of topics.seed_words ({', '.join(config.seed_words)}) survives in this corpus; choose other words."
            )
        eta[0, known] += config.seed_strength * words / config.count / len(known)
    return eta


def seeded_counts(
    model: TopicModel, config: TopicsConfig
) -> tuple[Int[np.ndarray, "seed"], Float[np.ndarray, "seed"]]:
    """Numbers of the seed words, and how many occurrences in topic 0 the prior alone gave to each; empty without seeds.

    The fit keeps counts and prior in one sum. The prior's whole is the vocabulary's size and `seed_strength / count` times
    the running words, so the running words, and with them each seed's part, follow from the sum.
    """
    known = np.array(_known(model.vocabulary, config.seed_words), dtype=np.int64)
    share = config.seed_strength / config.count
    running = (model.topic_word_counts.sum() - len(model.vocabulary)) / (1 + share)
    return known, np.full(len(known), share * running / max(len(known), 1))


def _digest(
    bags: Sequence[Bag],
    vocabulary: tuple[str, ...],
    eta: Float[np.ndarray, "topic word"],
    config: TopicsConfig,
    seed: int,
) -> str:
    digest = hashlib.sha256(repr((vocabulary, config, seed)).encode("utf-8", "surrogatepass"))
    digest.update(eta.tobytes())
    for bag in bags:
        digest.update(np.asarray(bag, dtype=np.int64).tobytes() + b"|")
    return digest.hexdigest()[:24]


def _fit_once(
    bags: Sequence[Bag],
    dictionary: Dictionary,
    vocabulary: tuple[str, ...],
    eta: Float[np.ndarray, "topic word"],
    config: TopicsConfig,
    seed: int,
    state: Path | None = None,
) -> TopicModel:
    dictionary.id2token = dict(enumerate(vocabulary))
    batch = len(bags) <= BATCH_CHUNKS
    lda = partial(LdaInSteps, file=state) if state else LdaModel
    model = lda(
        bags,
        id2word=dictionary,
        num_topics=config.count,
        passes=config.passes,
        iterations=100,
        chunksize=BATCH_CHUNKS if batch else ONLINE_CHUNKS,
        update_every=0 if batch else 1,
        eta=eta,
        eval_every=None,
        random_state=seed,
        dtype=np.float64,
    )
    return TopicModel(
        vocabulary=vocabulary,
        topic_word_counts=np.asarray(model.state.get_lambda(), dtype=np.float64),
        alpha=np.asarray(model.alpha, dtype=np.float64),
        seed=seed,
        language=config.language,
    )
