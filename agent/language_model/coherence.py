"""Coherence of generated passages by an independent model and by statistics of the text.

Every limit is a quantile over real passages of the same length. Nothing is set by hand or depends
on the concept: a passage is coherent if a real one could look like it. Where the base model cannot
look like a real passage, as in a corpus without capitals and full stops, `fair_to` takes the limits
from what it writes.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import regex
from jaxtyping import Bool, Float
from pydantic import Field

from agent.config import PathSetting, StageConfig
from agent.corpora.words import EAST_ASIAN, count_words, running_words
from agent.errors import BasinError
from agent.hub.models import EMBEDDED
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel

logger = logging.getLogger(__name__)

MINIMUM_PASSAGES = 8
"""Fewer passages give no quantile."""
FEWEST_WORDS = 10
FLOOR = 0.5
"""Share of the base model's passages that must be coherent for the limits to hold unchanged."""


class CoherenceConfig(StageConfig):
    """The independent model, and the limits of coherence."""

    model: Annotated[str | None, PathSetting(tuple(EMBEDDED), hub=True)] = "gemma3-270m"
    """A model other than the generating one; none: only statistics of the text are checked."""
    quantile: float = Field(0.9, gt=0, lt=1)
    """Share of real passages within the limit of the loss."""
    text_quantile: float = Field(0.995, gt=0.5, lt=1)
    """The same for each statistic of the text; high, because there are several."""
    words: int = Field(60, ge=FEWEST_WORDS)
    """Real and generated passages are cut to this many words after their opening."""
    prompt_words: int = Field(9, ge=1)
    """Words at the start of a real passage that serve as its prompt."""
    real_passages: int = Field(64, ge=MINIMUM_PASSAGES)
    """Real passages that the language model reads, evenly spaced over the corpus."""


@dataclass(frozen=True)
class CoherenceReport:
    """Verdicts on generated passages, in their order."""

    losses: Float[np.ndarray, "text"]
    """Nats per token under the independent model; NaN without a model or tokens."""
    unlikely: Bool[np.ndarray, "text"]
    repetitive: Bool[np.ndarray, "text"]
    broken: Bool[np.ndarray, "text"]

    @property
    def coherent(self) -> Bool[np.ndarray, "text"]:
        coherent: np.ndarray = ~(self.unlikely | self.repetitive | self.broken)
        return coherent

    @property
    def share(self) -> float:
        """Share of coherent passages, in [0, 1]."""
        return float(self.coherent.mean())

    @property
    def repetitive_share(self) -> float:
        return float(self.repetitive.mean())

    @property
    def broken_share(self) -> float:
        return float(self.broken.mean())


@dataclass(frozen=True)
class Coherence:
    """Limits measured on real passages; `check` applies them to generated ones."""

    config: CoherenceConfig
    language_model: LanguageModel | None
    loss_limit: float
    """Nats per token; infinite without a model."""
    common: frozenset[str]
    """The corpus's most frequent words."""
    limits: dict[str, tuple[float, float]]
    """Lowest and highest value of each text statistic."""
    note: str | None = None
    """A sentence where the limits did not suit the base model."""

    @classmethod
    def load(cls, real_texts: Sequence[str], config: CoherenceConfig) -> Coherence:
        """`fit` with the configured model; raises as `fit` and `LanguageModel.load`."""
        if config.model is None:
            return cls.fit(real_texts, config, None)
        language_model = LanguageModel.load(LanguageModelConfig(name=config.model))
        return cls.fit(real_texts, config, language_model)

    @classmethod
    def fit(
        cls, real_texts: Sequence[str], config: CoherenceConfig, language_model: LanguageModel | None
    ) -> Coherence:
        """Measure the limits. Raises `BasinError` for fewer than 8 long enough passages.

        Where passages are shorter than configured, fewer words are judged.
        """
        config = _shortened(config, real_texts)
        pairs = []
        for text in real_texts:
            head = _cut(text, config.prompt_words)
            rest = text[len(head) :]  # with its leading space
            if count_words(rest) >= config.words:
                pairs.append((head, _cut(rest, config.words)))
        if len(pairs) < MINIMUM_PASSAGES:
            raise BasinError(
                f"Only {len(pairs)} real passages have {config.prompt_words + config.words} words to judge "
                "coherence by: lower coherence.words, or give more text."
            )
        common = common_words([rest for _, rest in pairs])
        measured = [text_statistics(rest, common) for _, rest in pairs]
        tail = 1 - config.text_quantile
        limits = {
            name: (float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail)))
            for name in measured[0]
            if (values := [row[name] for row in measured])
        }
        loss_limit = np.inf
        if language_model is not None:
            logger.info(f"coherence: {language_model.config.name} reads {config.real_passages} real passages")
            chosen = np.unique(np.linspace(0, len(pairs) - 1, config.real_passages).astype(int))
            heads, rests = zip(*(pairs[index] for index in chosen), strict=True)
            loss_limit = float(np.nanquantile(language_model.losses(rests, heads), config.quantile))
        return cls(config, language_model, loss_limit, common, limits)

    def fair_to(
        self, texts: Sequence[str], prompts: Sequence[str], losses: Float[np.ndarray, "text"] | None = None
    ) -> Coherence:
        """This guard, or one that the base model's passages can pass.

        Where fewer than `FLOOR` of them are coherent, each limit that more than a tenth of them fail
        (1 - `quantile`) moves to their own quantile. Only text is a yardstick: half of the passages
        must be likely under the independent model, or have the corpus's common words. Otherwise
        nothing moves.

        Args:
            losses: as in `check`.
        """
        report = self.check(texts, prompts, losses)
        if report.share >= FLOOR:
            return self
        rows = [text_statistics(text, self.common) for text in self.cut(texts)]
        fails = {
            name: float(np.mean([self._outside(row, {name: side}) for row in rows]))
            for name, side in (REPETITION | SENTENCES).items()
        }
        likely = self.language_model is not None and report.unlikely.mean() <= 1 - FLOOR
        begin = f"Only {report.share:.0%} of the base model's passages are as coherent as real ones"
        if not likely and fails["common_words"] > 1 - FLOOR:
            return replace(
                self,
                note=f"{begin}, by every measure, so coherence says little here: give a language_model that writes like "
                "the corpus, or a coherence.model that reads both.",
            )
        limits, loss_limit, most = dict(self.limits), self.loss_limit, 1 - self.config.quantile
        moved = [name for name, share in fails.items() if share > most]
        for name in moved:
            values = [row[name] for row in rows if np.isfinite(row[name])]
            low, high = limits[name]
            limits[name] = (
                min(low, float(np.quantile(values, most))),
                max(high, float(np.quantile(values, 1 - most))),
            )
        if self.language_model is not None and report.unlikely.mean() > most:
            moved.append("loss")
            loss_limit = max(loss_limit, float(np.nanquantile(report.losses, 1 - most)))
        note = f"{begin}: the limits of {', '.join(moved)} now come from what the base model writes."
        return replace(self, limits=limits, loss_limit=loss_limit, note=note)

    def cut(self, texts: Sequence[str]) -> list[str]:
        """The texts at the length at which they are judged."""
        return [_cut(text, self.config.words) for text in texts]

    def check(
        self, texts: Sequence[str], prompts: Sequence[str], losses: Float[np.ndarray, "text"] | None = None
    ) -> CoherenceReport:
        """Judge continuations; an empty one is broken. Raises `BasinError` for no texts.

        Args:
            losses: of the texts as `cut` leaves them, in nats per token; by default the independent
                model's.
        """
        if not texts:
            raise BasinError("There are no passages whose coherence could be checked: generate at least one.")
        cut, unlikely = self.cut(texts), np.zeros(len(texts), dtype=bool)
        if self.language_model is None:
            losses = np.full(len(texts), np.nan)
        else:
            losses = self.language_model.losses(cut, prompts) if losses is None else losses
            unlikely = ~(losses <= self.loss_limit)
        statistics = [text_statistics(text, self.common) for text in cut]
        repetitive = np.array([self._outside(row, REPETITION) for row in statistics])
        broken = np.array([self._outside(row, SENTENCES) for row in statistics])
        return CoherenceReport(losses, unlikely, repetitive, broken)

    def _outside(self, statistics: dict[str, float], sides: dict[str, str]) -> bool:
        return any(
            statistics[name] < self.limits[name][0]
            if side == "low"
            else statistics[name] > self.limits[name][1]
            for name, side in sides.items()
        )


def _shortened(config: CoherenceConfig, texts: Sequence[str]) -> CoherenceConfig:
    """The config with as many words as three quarters of the passages have, where nearly none has its."""
    lengths = np.array([count_words(text) for text in texts])
    if not len(lengths) or (lengths >= config.prompt_words + config.words).sum() >= MINIMUM_PASSAGES:
        return config
    words = int(np.quantile(lengths, 0.25)) - config.prompt_words
    if not FEWEST_WORDS <= words < config.words:
        return config
    logger.info(f"coherence: judged on {words} words, since the passages are shorter than coherence.words.")
    return config.model_copy(update={"words": words})


REPETITION = {"distinct_trigrams": "low", "longest_repeat": "high"}
SENTENCES = {
    "letters": "low",
    "punctuation_run": "high",
    "common_words": "low",
    "words_per_stop": "low",
    "uncapitalised": "high",
}
"""The bad side of each statistic: tables and codes have few letters, word lists few common words,
fragments few words between full stops, and non-sentences no capitals."""


def text_statistics(text: str, common: frozenset[str]) -> dict[str, float]:
    """Statistics of a text; a text without words gets the worst value of each.

    `distinct_trigrams`: different word trigrams over all of them. `longest_repeat`: words in the
    longest run that occurs twice. `letters`: share of letters among characters other than white
    space. `punctuation_run`: the longest row of other characters. `common_words`: share of words
    that are `common`. `words_per_stop`: words per sentence. `uncapitalised`: share of sentences
    after the first that start with a small letter.
    """
    words = _words(text)
    if not words:
        worst = {"low": -np.inf, "high": np.inf}
        return {name: worst[side] for name, side in (REPETITION | SENTENCES).items()}
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    characters = re.sub(r"\s", "", text)
    runs = re.findall(r"[^\w\s]+", text)
    starts = re.findall(r"[.?!]+[\"'”’)]*\s+[\"'“‘(]*(\w)", text)
    stops = len(re.findall(r"[.?!。？！।؟۔]+", text))
    return {
        "distinct_trigrams": len(set(trigrams)) / len(trigrams) if trigrams else 1.0,
        "longest_repeat": float(_longest_repeat(words)),
        "letters": sum(map(str.isalpha, characters)) / len(characters),
        "punctuation_run": float(max(map(len, runs), default=0)),
        "common_words": sum(word in common for word in words) / len(words),
        "words_per_stop": len(words) / max(stops, 1),
        "uncapitalised": sum(map(str.islower, starts)) / max(len(starts), 1),
    }


def _longest_repeat(words: Sequence[str]) -> int:
    """Length of the longest word sequence that occurs at two places, which may overlap."""
    length = 0
    while True:
        grams = [tuple(words[start : start + length + 1]) for start in range(len(words) - length)]
        if len(set(grams)) == len(grams):
            return length
        length += 1


def common_words(texts: Sequence[str], count: int = 100) -> frozenset[str]:
    """The `count` most frequent words of the texts."""
    frequencies = Counter(word for text in texts for word in _words(text))
    # Ties broken by the word, so that the order of the texts does not matter.
    ranked = sorted(frequencies, key=lambda word: (-frequencies[word], word))
    return frozenset(ranked[:count])


WORD = regex.compile(rf"{EAST_ASIAN}|[\w--{EAST_ASIAN}]+(?:['’][\w--{EAST_ASIAN}]+)*", regex.V1)


def _words(text: str) -> list[str]:
    found: list[str] = WORD.findall(text.lower())
    return found


def _cut(text: str, words: int) -> str:
    ends = [match.end() for match in running_words(text)]
    return text[: ends[words - 1]] if len(ends) > words else text
