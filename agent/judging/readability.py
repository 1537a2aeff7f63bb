"""A judge of "real passage against spoiled passage", by what does not depend on what a passage is about.

It sees how an independent language model takes a text, token by token, and statistics of the text itself; no
words. Every text has the same length, every real passage is paired with a spoiled one of its own document, and
documents are held out whole: so neither length nor concept tells real from spoiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agent.errors import BasinError
from agent.judging.decisions import Judgement, RealPassages, calibrated, cross_decisions, cut
from agent.language_model.coherence import common_words, text_statistics
from agent.language_model.model import LanguageModel
from agent.types import StageConfig

Words = list[str]
Spoil = Callable[[Words, int, Words, np.random.Generator], Words]
"""From the document's words from the passage on, the length wanted, words of the corpus, and a generator."""


def shuffled(words: Words, length: int, _corpus: Words, rng: np.random.Generator) -> Words:
    """Words in random order inside windows of 3 to 12."""
    window = int(rng.integers(3, 13))
    spoiled: Words = []
    for start in range(0, length, window):
        part = words[start : min(start + window, length)]
        spoiled += [part[index] for index in rng.permutation(len(part))]
    return spoiled


def truncated(words: Words, length: int, _corpus: Words, rng: np.random.Generator) -> Words:
    """Every sentence breaks off after 30 to 80 % of its words, and the next one follows."""
    spoiled: Words = []
    for sentence in _sentences(words):
        kept = max(1, round(len(sentence) * rng.uniform(0.3, 0.8)))
        spoiled += sentence[:kept]
        if len(spoiled) >= length:
            break
    return spoiled[:length]


def replaced(words: Words, length: int, corpus: Words, rng: np.random.Generator) -> Words:
    """A tenth to a half of the words are others of the corpus, drawn as often as they occur there."""
    chance = rng.uniform(0.1, 0.5)
    swap, other = rng.random(length) < chance, rng.integers(len(corpus), size=length)
    return [
        corpus[number] if flag else word
        for word, flag, number in zip(words[:length], swap[: len(words)], other[: len(words)], strict=True)
    ]


def repeated(words: Words, length: int, _corpus: Words, rng: np.random.Generator) -> Words:
    """From somewhere in its first two thirds on, the last 3 to 20 words over and over, as a stuck model writes."""
    loop = int(rng.integers(3, 21))
    start = int(rng.integers(min(loop, length - 1), max(loop, 2 * length // 3) + 1))
    spoiled = words[:start]
    while len(spoiled) < length:
        spoiled = spoiled + words[max(0, start - loop) : start]
    return spoiled[:length]


SPOILS: dict[str, Spoil] = {
    "shuffled": shuffled,
    "truncated": truncated,
    "replaced": replaced,
    "repeated": repeated,
}


def _sentences(words: Words) -> list[Words]:
    """Runs of words up to one that ends in a full stop, a question mark or an exclamation mark."""
    sentences: list[Words] = [[]]
    for word in words:
        sentences[-1].append(word)
        if word.rstrip("\"'”’)").endswith((".", "?", "!")):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def spoil(
    words: Words, length: int, corpus: Words, turn: int, rng: np.random.Generator
) -> tuple[str, str] | None:
    """(kind, text of `length` words) by the spoil whose turn it is, or the next that has words enough; else None."""
    kinds = list(SPOILS)
    for offset in range(len(kinds)):
        kind = kinds[(turn + offset) % len(kinds)]
        spoiled = SPOILS[kind](words, length, corpus, rng)
        if len(spoiled) == length and spoiled != words[:length]:
            return kind, " ".join(spoiled)
    return None


UNLIKELY_QUANTILE = 0.99  # of real tokens' losses: above it a token is very unlikely
SURE = 0.05  # nats; a token below it was certain, as in a loop


class ReadableConfig(StageConfig):
    """What the judge of readability learns from."""

    words: int = Field(100, ge=20)
    """Length of every text it reads."""
    skip_words: int = Field(9, ge=0)
    """Opening words of a real passage left out, as the prompt is left out of a generated one."""
    passages: int = Field(240, ge=8)
    """Real passages that it learns from, each with one spoiled version."""
    folds: int = Field(5, ge=2)


@dataclass(frozen=True)
class Readability:
    """P(readable), and how far to trust it."""

    judgement: Judgement
    """Members are real passages, non-members spoiled ones; a generated text too short to judge has NaN."""
    auc_by_kind: Mapping[str, float]
    """Real passages against each kind of spoiled ones, of unseen documents."""
    concept_auc: float | None
    """Real members of the concept against real non-members by the same score: 0.5 where it is blind to the concept.

    Within folds; None where no fold has passages of both kinds.
    """


@dataclass(frozen=True)
class _Examples:
    passages: RealPassages
    """`gold` says real, not spoiled."""
    kind: np.ndarray
    """Of every example: "real", or how it was spoiled."""
    in_concept: Bool[np.ndarray, "example"]


def judge_readable(
    real: RealPassages,
    generated: Mapping[str, Sequence[str]],
    language_model: LanguageModel,
    config: ReadableConfig,
    seed: int,
    steered: Sequence[str] = (),
) -> Readability:
    """How readable every generated text is, in [0, 1] at even odds of real and spoiled.

    Args:
        generated: continuations without their prompts, by the generator's name.
        language_model: another than the one that writes.
        steered: texts that were steered much too hard, if there are any: one more kind of spoiled.

    Raises:
        BasinError: fewer than 8 real passages are long enough, or they are of fewer documents than folds.
    """
    examples = _examples(real, steered, config, seed)
    passages = examples.passages
    cuts = {name: [cut(text, config.words) for text in texts] for name, texts in generated.items()}
    written = {name: [text for text in texts if text is not None] for name, texts in cuts.items()}
    row_of = _rows(passages, written, language_model)
    folds = np.empty(len(passages.texts), dtype=np.int64)
    division = GroupKFold(config.folds, shuffle=True, random_state=seed % 2**32)
    for number, (_, unseen) in enumerate(division.split(folds, groups=passages.document_of)):
        folds[unseen] = number
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    decisions = cross_decisions(
        passages, written, folds, lambda texts: np.stack([row_of[text] for text in texts]), model
    )
    judgement = calibrated(decisions, passages.gold, folds)
    scattered = {}
    for name, texts in cuts.items():
        scattered[name] = np.full(len(texts), np.nan)
        scattered[name][[text is not None for text in texts]] = judgement.generated[name]
    is_real = passages.gold
    by_kind = {
        str(kind): _auc(is_real, decisions.real, is_real | (examples.kind == kind))
        for kind in np.unique(examples.kind[~is_real])
    }
    concept_auc = _within_folds(examples.in_concept[is_real], decisions.real[is_real], folds[is_real])
    return Readability(replace(judgement, generated=scattered), by_kind, concept_auc)


def text_features(
    texts: Sequence[str],
    losses: Sequence[Float[np.ndarray, "_token"]],
    common: frozenset[str],
    unlikely_from: float,
) -> Float[np.ndarray, "text feature"]:
    """Mean and spread of the losses per token, shares of very unlikely and of certain tokens, and `text_statistics`.

    Args:
        losses: `LanguageModel.token_losses` of the texts, in nats.
        unlikely_from: nats above which a token is very unlikely.

    Returns:
        A row for every text; one without a word or a token has infinite entries.
    """
    rows = []
    for text, each in zip(texts, losses, strict=True):
        read = [np.inf, np.inf, 1.0, 0.0]
        if len(each):
            read = [each.mean(), each.std(), (each > unlikely_from).mean(), (each < SURE).mean()]
        rows.append([*read, *text_statistics(text, common).values()])
    return np.array(rows, dtype=np.float64)


def _rows(
    passages: RealPassages, written: Mapping[str, Sequence[str]], language_model: LanguageModel
) -> dict[str, Float[np.ndarray, "feature"]]:
    """Features of every text that there is, held to what real and spoiled passages show, so that none is endless."""
    known = list(dict.fromkeys(passages.texts))
    texts = list(dict.fromkeys([*known, *(text for each in written.values() for text in each)]))
    losses = dict(zip(texts, language_model.token_losses(texts), strict=True))
    real = passages.only(passages.gold).texts
    limit = float(np.quantile(np.concatenate([losses[text] for text in real]), UNLIKELY_QUANTILE))
    features = text_features(texts, list(losses.values()), common_words(real), limit)
    seen = np.where(np.isfinite(features), features, np.nan)[: len(known)]
    clipped = np.clip(features, np.nanmin(seen, axis=0), np.nanmax(seen, axis=0))
    return dict(zip(texts, clipped, strict=True))


def _examples(real: RealPassages, steered: Sequence[str], config: ReadableConfig, seed: int) -> _Examples:
    rng = np.random.default_rng(seed)
    corpus = [word for text in real.texts for word in text.split()]
    texts: list[str] = []
    kinds: list[str] = []
    source: list[int] = []
    for index in rng.permutation(len(real.texts)):
        clean = cut(real.texts[index], config.words, config.skip_words)
        words = _onwards(real, int(index))[config.skip_words :]
        spoiled = clean and spoil(words, config.words, corpus, len(texts) // 2, rng)
        if clean and spoiled:
            texts += [clean, spoiled[1]]
            kinds += ["real", spoiled[0]]
            source += [int(index)] * 2
        if len(texts) == 2 * config.passages:
            break
    document_of = real.document_of[source]
    if len(texts) < 16 or len(np.unique(document_of)) < config.folds:
        raise BasinError(
            f"Only {len(texts) // 2} real passages of {len(np.unique(document_of))} documents have "
            f"{config.skip_words + config.words} words to learn readability from: lower the length or give more."
        )
    hard = [text for text in (cut(text, config.words) for text in steered) if text is not None]
    # Each in a group of its own: it is of no document.
    own = np.arange(len(hard), dtype=document_of.dtype) + document_of.max() + 1
    kind = np.array([*kinds, *["steered"] * len(hard)])
    passages = RealPassages([*texts, *hard], kind == "real", np.concatenate([document_of, own]))
    return _Examples(passages, kind, np.concatenate([real.gold[source], np.zeros(len(hard), dtype=bool)]))


def _onwards(real: RealPassages, index: int) -> list[str]:
    """Words of the passage, of those after it in its document, and of those before it."""
    own = np.flatnonzero(real.document_of == real.document_of[index])
    place = int(np.searchsorted(own, index))
    return [word for each in np.roll(own, -place) for word in real.texts[each].split()]


def _within_folds(
    labels: Bool[np.ndarray, "example"],
    scores: Float[np.ndarray, "example"],
    folds: Int[np.ndarray, "example"],
) -> float | None:
    """Mean AUC over folds that hold both kinds, None where none does.

    Real passages score so much alike that a small shift between two folds' classifiers would decide it.
    """
    aucs = [
        _auc(labels, scores, folds == fold)
        for fold in np.unique(folds)
        if 0 < labels[folds == fold].mean() < 1
    ]
    return float(np.mean(aucs)) if aucs else None


def _auc(
    labels: Bool[np.ndarray, "example"],
    scores: Float[np.ndarray, "example"],
    counted: Bool[np.ndarray, "example"],
) -> float:
    return float(roc_auc_score(labels[counted], scores[counted]))
