"""Topic models as plain arrays, and the pointer: one topic of a model, where a concept starts.

The topic is read on passages as a starting point and as one factor of the posterior. It never
filters generated text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from gensim.models import LdaModel
from jaxtyping import Bool, Float, Int
from pydantic import Field, field_validator
from safetensors.numpy import save_file

from agent.config import StageConfig
from agent.corpora.text import CleanText
from agent.corpora.words import CODE, ENGLISH, language
from agent.errors import BasinError
from agent.files.bounded import read_whole
from agent.files.checked import DamagedError, parse_json, parse_tensors, tensors_metadata

HUGE = 1e30
"""Limit of a count: inference adds counts up in float32, whose maximum is 3e38."""
MOST_BYTES = 1 << 30
SURE_WORDS = 50
"""A topic that points well has many of its picking words among this many most probable words."""


class TopicsConfig(StageConfig):
    """How topics are fitted, and which of them is the pointer."""

    count: int = Field(10, ge=2)
    """Number of LDA topics."""
    chunk_words: int = Field(1000, ge=50)
    """Length of the fitted chunks. Topics of short passages look arbitrary to readers."""
    passes: int = Field(20, ge=1)
    restarts: int = Field(1, ge=1)
    """Fits from different seeds; the one whose picked topic has most mass on `words` is returned."""
    minimum_chunks: int = Field(5, ge=1)
    """A word must occur in this many chunks."""
    maximum_chunk_share: float = Field(0.5, gt=0, le=1)
    """A word in a larger share of the chunks counts as a function word."""
    name_share: float = Field(0.5, gt=0, le=1)
    """A word capitalised inside sentences more often than this counts as a name and is removed. German
    is exempt: all its nouns have capitals."""
    language: str = ENGLISH
    """Language of the texts (ISO 639, as `de`; `und` for none or several): decides word boundaries and
    stop words."""
    fit_on: Literal["kept", "all"] = "kept"
    """`all` fits on every document of the corpus, read as a stream; `kept` on those in memory (see
    `corpus.sample`)."""
    topic: int | None = None
    """Pick the topic by number."""
    words: tuple[CleanText, ...] = ()
    """Pick the topic with the most mass on these words."""
    seed_words: tuple[CleanText, ...] = ()
    """Words with a raised prior in topic 0, which is then the pointer (gensim's `eta` as a matrix)."""
    seed_strength: float = Field(1.0, gt=0)
    """Pseudo-counts on all seed words together, in units of an average topic's words. At 1 the prior
    weighs as much as the text; far below, the seeded topic drifts to co-occurring words."""

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
    """A fitted LDA model as plain arrays, which can be stored without pickling."""

    vocabulary: tuple[str, ...]
    topic_word_counts: Float[np.ndarray, "topic word"]
    """Variational parameter lambda of Hoffman et al. (2010), eq. 3: expected word counts plus prior."""
    alpha: Float[np.ndarray, "topic"]
    """Dirichlet prior of a text's topic weights."""
    seed: int
    language: str = ENGLISH

    @property
    def count(self) -> int:
        return len(self.alpha)

    @property
    def topic_word(self) -> Float[np.ndarray, "topic word"]:
        """p(word | topic); rows sum to 1."""
        return np.asarray(self.topic_word_counts / self.topic_word_counts.sum(axis=1, keepdims=True))

    def top_words(self, topic: int, count: int = 12) -> list[str]:
        """The topic's most probable words, at most `count`; none that only smoothing gives a share."""
        shares = self.topic_word[topic]
        order = np.argsort(-shares, kind="stable")[:count]
        least = shares.min()
        return [self.vocabulary[at] for at in order if shares[at] > least] or [
            self.vocabulary[at] for at in order
        ]

    def infer(self, texts: Sequence[str]) -> Float[np.ndarray, "text topic"]:
        """Posterior mean topic weights; rows sum to 1. A text without known words gets the prior."""
        return self.weights(self.expected_words(texts))

    def weights(self, expected_words: Float[np.ndarray, "text topic"]) -> Float[np.ndarray, "text topic"]:
        """Topic weights from the expected words of each topic."""
        counts = expected_words + self.alpha
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def expected_words(self, texts: Sequence[str]) -> Float[np.ndarray, "text topic"]:
        """Expected words of each topic in each text (gamma - alpha of Hoffman et al. 2010, eq. 3)."""
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
        """The topic words of a text in this model's language."""
        return language(self.language).words_of(text)

    def mass_on(self, words: Sequence[str]) -> Float[np.ndarray, "topic"]:
        """Share of each topic's probability mass on `words`.

        Raises `BasinError` if none of the words is in the vocabulary.
        """
        known = word_numbers(self.vocabulary, words, self.language)
        if not known:
            raise BasinError(
                f"None of the words {', '.join(words)} is in the topic model's vocabulary of {len(self.vocabulary)} words; "
                "choose words that occur in the corpus, in several documents."
            )
        return np.asarray(self.topic_word[:, known].sum(axis=1))


def write_topic_model(model: TopicModel, path: Path) -> None:
    """Write a model as safetensors: `topic_word` and `alpha`, and the rest as metadata."""
    arrays = {"topic_word": model.topic_word_counts, "alpha": model.alpha}
    about = {"vocabulary": json.dumps(model.vocabulary), "seed": str(model.seed), "language": model.language}
    save_file({name: np.ascontiguousarray(each) for name, each in arrays.items()}, path, metadata=about)


def read_topic_model(path: Path) -> TopicModel:
    """Inverse of `write_topic_model`. Raises `DamagedError` for another content, `OSError` as `open`."""
    content = read_whole(path, MOST_BYTES, "fit it with fewer words")
    arrays, about = parse_tensors(content, path.name), tensors_metadata(content, path.name)
    try:
        vocabulary = parse_json(about["vocabulary"].encode(), "its vocabulary")
        topics, alpha = (arrays[name].double().numpy() for name in ("topic_word", "alpha"))
        seed, code = int(about["seed"]), about["language"]
    except (KeyError, ValueError) as error:
        raise DamagedError(f"it lacks {error}") from None
    if not isinstance(vocabulary, list) or not all(isinstance(word, str) for word in vocabulary):
        raise DamagedError("its vocabulary is no list of words")
    if alpha.ndim != 1 or topics.shape != (len(alpha), len(vocabulary)) or not topics.size:
        raise DamagedError(
            f"topics of shape {topics.shape}, priors of {alpha.shape}, {len(vocabulary)} words"
        )
    # NaN fails these comparisons, too.
    if not ((topics >= 0) & (topics < HUGE)).all() or not ((alpha > 1 / HUGE) & (alpha < HUGE)).all():
        raise DamagedError(f"counts and priors are not negative, and below {HUGE:.0e}")
    return TopicModel(tuple(vocabulary), topics, alpha, seed, code)


def word_numbers(vocabulary: Sequence[str], words: Sequence[str], code: str = ENGLISH) -> list[int]:
    """Indices in the vocabulary of those words that it holds, read as the texts are."""
    index = {word: number for number, word in enumerate(vocabulary)}
    plain = dict.fromkeys(part for word in words for part in language(code).as_read(word))
    return [index[word] for word in plain if word in index]


@dataclass(frozen=True)
class PointerReading:
    """One topic's weight in some texts."""

    weights: Float[np.ndarray, "text"]
    """q0(x): the topic's weight in each text, in [0, 1]."""
    expected_words: Float[np.ndarray, "text"]
    """Expected words of the topic in each text."""
    words: Float[np.ndarray, "text"]
    """Words of each text that the model knows."""

    def of(self, part: Bool[np.ndarray, "text"]) -> PointerReading:
        """The reading of some of the texts."""
        return PointerReading(self.weights[part], self.expected_words[part], self.words[part])

    def document_spread(self, document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the documents that the topic is spread over, in (0, 1]; 1 for equal rates.

        The inverse of Simpson's index of the topic's rate in the documents, over their number.
        Function words are spread over nearly all documents of any corpus.
        """
        words = np.maximum(np.bincount(document_of, weights=self.words), 1)
        rates = np.bincount(document_of, weights=self.expected_words) / words
        squares = float((rates**2).sum())
        return float(rates.sum() ** 2 / squares / len(rates)) if squares > 0 else 1.0

    def presence(self, document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the documents with at least one expected word of the topic, in [0, 1]."""
        expected = np.bincount(document_of, weights=self.expected_words)
        return float((expected >= 1).mean())

    def claim(self, seeded: bool, document_of: Int[np.ndarray, "text"]) -> float:
        """Share of the texts that the topic claims: its mean weight, or the presence of a seeded topic.

        A seeded topic holds few words of any text, so its mean weight is uninformative.
        """
        return self.presence(document_of) if seeded else float(self.weights.mean())


@dataclass(frozen=True)
class Pointer:
    """One topic of a topic model: the seed of a concept."""

    model: TopicModel
    topic: int

    def holds(self, words: Sequence[str]) -> list[str]:
        """Those of the words that are among the topic's `SURE_WORDS` most probable."""
        probable = set(self.model.top_words(self.topic, SURE_WORDS))
        known = language(self.model.language)
        return [word for word in words if probable.issuperset(known.as_read(word))]

    def doubt(self, words: Sequence[str]) -> str | None:
        """A warning if a topic picked by words holds less than a third of them, or None."""
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

    def read(self, texts: Sequence[str]) -> PointerReading:
        """Weights and word counts of the texts, from one (slow) inference."""
        return self.reading(self.model.expected_words(texts))

    def reading(self, expected_words: Float[np.ndarray, "text topic"]) -> PointerReading:
        """`read`, from the model's expected words."""
        weights = self.model.weights(expected_words)[:, self.topic]
        return PointerReading(weights, expected_words[:, self.topic], expected_words.sum(axis=1))


def pick(model: TopicModel, config: TopicsConfig) -> Pointer:
    """The configured topic: by number, by words, or the seeded one.

    Raises `BasinError` if no topic is configured, or the number does not exist.
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
