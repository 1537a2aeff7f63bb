"""A lesson: windows of tokens without padding, drawn from texts in proportion to their weights.

The texts are excerpts of whole documents, which weigh their membership m. The training loss is then
cross-entropy to corpus(x) m(x) / Z. No text is drawn again before all were drawn once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import regex
from jaxtyping import Bool, Float, Int

from agent.adapting.config import LessonConfig
from agent.concept import MEMBER
from agent.corpora.passages import sentence_ends
from agent.errors import BasinError
from agent.language_model.architecture import longest_sequence
from agent.language_model.decoding.particles import systematic
from agent.language_model.model import LanguageModel
from agent.language_model.token_counts import sampled, token_lengths
from agent.types import PassageSet

logger = logging.getLogger(__name__)

MOST_REPEATS = 3
"""Largest number of times that a text is drawn: a repeated text teaches its words."""
SLACK = 1.3
"""Length of an excerpt in expected windows, so that few fall short of a window."""
AT_A_TIME = 128
"""Texts tokenised at a time."""
HELD_SHARE, MOST_HELD, MOST_WINDOWS = 0.125, 8, 12
"""Share and largest number of claimed documents that are held out; most windows read of each side."""
HEADING = regex.compile(
    r"\n\s*\n(?=(?:(?i:chapter|book|part|act|letter)\b[^\n]{0,60}|[IVXLC]{1,6}\.?|\d{1,3}\.?)[ \t]*\n)"
)


@dataclass(frozen=True)
class Lesson:
    """Token rows of equal length, except perhaps the last, and held-out rows beside them."""

    rows: list[list[int]]
    member: tuple[list[int], ...] = ()
    """Windows of claimed documents that the lesson leaves out."""
    other: tuple[list[int], ...] = ()
    """Windows of documents that the concept does not claim."""

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))


@dataclass(frozen=True)
class Excerpts:
    """Consecutive parts of documents, which overlap a little at their ends."""

    texts: list[str]
    document: Int[np.ndarray, "text"]
    begin: Int[np.ndarray, "text"]
    """Character of the document at which the excerpt begins."""
    opening: Bool[np.ndarray, "text"]
    """Whether a document or a chapter begins with it."""


def cut_excerpts(documents: Sequence[str], characters: int) -> Excerpts:
    """Excerpts that begin about every `characters`, at a paragraph's or sentence's beginning."""
    found: list[tuple[str, int, int, bool]] = []
    for number, text in enumerate(documents):
        chapters = [0, *(match.end() for match in HEADING.finditer(text)), len(text)]
        for begin, end in zip(chapters[:-1], chapters[1:], strict=True):
            for place in range(begin, max(begin + 1, end - characters // 2), characters):
                ends = sentence_ends(text[place : place + characters // 4]) if place > begin else []
                at = place + (ends[0] if ends else 0)
                at += len(text[at : at + characters]) - len(text[at : at + characters].lstrip())
                found.append((text[at : at + int(SLACK * characters)], number, at, place == begin))
    texts, document, begins, opening = zip(*found, strict=True)
    return Excerpts(list(texts), np.array(document), np.array(begins), np.array(opening))


def excerpt_membership(
    excerpts: Excerpts, passages: PassageSet, membership: Float[np.ndarray, "passage"]
) -> Float[np.ndarray, "text"]:
    """Membership of the nearest passage of the same document."""
    places: list[list[tuple[int, int]]] = [[] for _ in passages.documents]
    for index, passage in enumerate(passages.passages):
        place = passages.documents[passage.document].text.find(passage.text[:80])
        places[passage.document].append((place, index))
    result = np.zeros(len(excerpts.texts))
    for at, (document, begin) in enumerate(zip(excerpts.document, excerpts.begin, strict=True)):
        near = min(places[document], key=lambda each: abs(each[0] - begin), default=None)  # noqa: B023
        result[at] = 0.0 if near is None else membership[near[1]]
    return result


def draw_documents(
    language_model: LanguageModel,
    passages: PassageSet,
    membership: Float[np.ndarray, "passage"],
    config: LessonConfig,
    seed: int,
) -> Lesson:
    """A lesson from whole documents, with some claimed documents held out.

    Excerpts below a membership of one half have no weight. Raises `BasinError` as `draw`.
    """
    documents = [each.text for each in passages.documents]
    sample = sampled(documents)
    per_token = sum(map(len, sample)) / max(1, sum(token_lengths(language_model.tokenizer, sample)))
    excerpts = cut_excerpts(documents, max(32, int(config.window * per_token)))
    weights = excerpt_membership(excerpts, passages, membership)
    weights = np.where(weights >= MEMBER, weights, 0.0)
    claimed = np.unique(excerpts.document[weights > 0])
    # By an order of all documents, so that other rounds hold out the same ones.
    order = np.random.default_rng(seed).permutation(len(documents))
    held = order[np.isin(order, claimed)][: min(MOST_HELD, int(HELD_SHARE * len(claimed)))]
    outside = ~np.isin(excerpts.document, claimed)
    inside = np.isin(excerpts.document, held) & (weights > 0)
    lesson = draw(
        language_model, excerpts.texts, np.where(inside, 0.0, weights), config, seed, opening=excerpts.opening
    )
    windows = min(MOST_WINDOWS, max(2, len(lesson.rows) // 24))  # reading them takes a tenth of training
    few = config.model_copy(update={"tokens": windows * config.window})
    member, other = (
        tuple(draw(language_model, excerpts.texts, part.astype(float), few, seed, repeats=1).rows)
        if part.any() and len(held)
        else ()
        for part in (inside, outside)
    )
    logger.info(
        f"A lesson of {lesson.tokens:,} tokens from {len(claimed) - len(held)} claimed documents; "
        f"{len(held)} are held out."
    )
    return replace(lesson, member=member, other=other)


def draw(
    language_model: LanguageModel,
    texts: Sequence[str],
    weights: Float[np.ndarray, "text"],
    config: LessonConfig,
    seed: int,
    *,
    opening: Bool[np.ndarray, "text"] | None = None,
    repeats: int = MOST_REPEATS,
) -> Lesson:
    """A lesson of `config.tokens`, or of all text there is, `repeats` times at most.

    Half of it are texts marked as `opening`, while these last.

    Raises:
        BasinError: no text has weight, or a window is longer than the model's context.
    """
    config.check_window(longest_sequence(language_model.model), language_model.name)
    generator = np.random.default_rng(seed)
    first = np.zeros(len(texts), dtype=bool) if opening is None else opening
    rows = []
    if np.isfinite(weights).all():
        order = np.concatenate([_order(weights, first, generator) for _ in range(repeats)])
        rows = _packed(language_model, (texts[index] for index in order), config)
    if not rows:
        raise BasinError(
            "No text has any weight in training: the concept has no members; take another topic."
        )
    tokens = sum(map(len, rows))
    if tokens < config.tokens and repeats > 1:
        logger.info(
            f"The lesson asks for {config.tokens:,} tokens; there are {tokens:,}, each text {repeats} times."
        )
    return Lesson([rows[index] for index in generator.permutation(len(rows))])


def with_written(
    language_model: LanguageModel,
    lesson: Lesson,
    texts: Sequence[str],
    weights: Float[np.ndarray, "text"],
    config: LessonConfig,
    *,
    seed: int,
) -> Lesson:
    """The lesson with generated texts beside it, which have at most `written_share` of its tokens.

    Texts are drawn in proportion to their weights by systematic resampling (Kitagawa 1996), none
    more than `MOST_REPEATS` times, and packed into rows of their own.
    """
    tokens = int(lesson.tokens * config.written_share / (1 - config.written_share))
    if not (weights.sum() > 0 and tokens):
        return lesson
    lengths = token_lengths(language_model.tokenizer, texts)
    mean = float(np.average(lengths, weights=weights))
    count = min(int(tokens / max(mean, 1)), MOST_REPEATS * int(np.count_nonzero(weights)))
    drawn = [texts[index] for index in resample(weights, count, seed)] if count else []
    rows = _packed(language_model, iter(drawn), config.model_copy(update={"tokens": tokens}))
    every = [*lesson.rows, *(row for row in rows if len(row) == config.window)]
    order = np.random.default_rng(seed).permutation(len(every))
    return replace(lesson, rows=[every[index] for index in order])


def resample(weights: Float[np.ndarray, "text"], count: int, seed: int) -> Int[np.ndarray, "drawn"]:
    """`count` indices in proportion to weights, each at most `MOST_REPEATS` times."""
    generator = np.random.default_rng(seed)
    shares = _clipped(weights / weights.sum(), MOST_REPEATS / count)
    return generator.permutation(systematic(shares, count, generator.random()))


def _clipped(shares: Float[np.ndarray, "text"], most: float) -> Float[np.ndarray, "text"]:
    """Shares of 1, none above `most`; the excess goes to the others in proportion."""
    held = np.zeros(len(shares), dtype=bool)
    while (over := ~held & (shares > most)).any():
        held |= over
        rest = float(shares[~held].sum())
        shares = np.where(held, most, shares * (1 - most * held.sum()) / rest if rest else 0.0)
    return shares


def _order(
    weights: Float[np.ndarray, "text"], opening: Bool[np.ndarray, "text"], generator: np.random.Generator
) -> Int[np.ndarray, "drawn"]:
    """All texts with weight, drawn without replacement (Efraimidis and Spirakis 2006).

    Openings and other texts take turns while both last.
    """
    with np.errstate(divide="ignore"):
        keys = np.log(generator.random(len(weights))) / weights
    drawn = np.argsort(-keys, kind="stable")[: np.count_nonzero(weights)]
    begins, rest = drawn[opening[drawn]], drawn[~opening[drawn]]
    turns = min(len(begins), len(rest))
    mixed = np.stack([begins[:turns], rest[:turns]], axis=1).reshape(-1)
    return np.concatenate([mixed, begins[turns:], rest[turns:]])


def _packed(language_model: LanguageModel, texts: Iterator[str], config: LessonConfig) -> list[list[int]]:
    """Rows of `window` tokens: each begins with a text, and what is short is filled with the next.

    The rest of a filling text begins the next row, unless the text is as long as a window.
    """
    end = language_model.tokenizer.eos_token_id
    rows: list[list[int]] = []
    row: list[int] = []
    for ids in filter(None, _token_ids(language_model, texts, config.window)):
        row += ids if end is None or not row else [end, *ids]
        if len(row) >= config.window:
            rows.append(row[: config.window])
            row = row[config.window :] if len(ids) < config.window else []
        if len(rows) * config.window >= config.tokens:
            return rows
    return [*rows, row] if row else rows


def _token_ids(language_model: LanguageModel, texts: Iterator[str], most: int) -> Iterator[list[int]]:
    """Token ids of each text as recording reads it, at most `most`, without an end of text."""
    end = language_model.tokenizer.eos_token_id
    while some := list(islice(texts, AT_A_TIME)):
        for row in language_model.tokenizer(some, truncation=True, max_length=most)["input_ids"]:
            yield row[:-1] if len(row) > 1 and row[-1] == end else row
