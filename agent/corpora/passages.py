"""Documents to passages of nearly equal length, without duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import regex
from pydantic import Field, model_validator

from agent.config import StageConfig
from agent.corpora.words import count_words, refuse_unsegmented, running_words
from agent.errors import BasinError
from agent.types import Document, Passage, PassageSet

SENTENCE_END = regex.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»“‘)\]]*+(?=\s++["'“‘„‚«»(\[—–¿¡-]*+[\p{Lu}\p{Lt}\p{Lo}\p{N}])|[。！？।॥؟۔]++|\n\s*\n"""
)
"""Possessive, so that a long run of stops is matched in linear time."""
NO_SENTENCE_END = regex.compile(
    r"\b(?:\p{Lu}|Mr|Mrs|Ms|Dr|St|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|Maj|Gov|Sen|Mme|Mlle|vs|No|Fig)$"
)
"""Before a full stop that ends no sentence: initials, and common English abbreviations."""

ENOUGH, FEWEST = 1000, 4
"""Passages of a corpus, and at least of each document, that suffice where reading all is slow."""


class PassagesConfig(StageConfig):
    """How documents are cut."""

    words: int = Field(default=180, ge=10)
    """Target length. Passages end at sentence ends."""
    tokens: int | None = Field(default=None, ge=16)
    """Target length in tokens of the language model, in place of `words`: for languages whose words
    are long in tokens."""
    minimum_words: int = Field(default=60, ge=1)
    """Shorter documents are dropped."""
    per_document: int | None = Field(default=None, ge=1)
    """At most this many passages of a document, evenly spaced; None keeps all."""

    @model_validator(mode="after")
    def _ordered(self) -> PassagesConfig:
        if self.tokens is None and self.minimum_words > self.words:
            raise ValueError(f"minimum_words ({self.minimum_words}) must not exceed words ({self.words})")
        return self


def split(documents: Sequence[Document], config: PassagesConfig) -> PassageSet:
    """Cut documents into passages, dropping and counting duplicates and documents that are too short.

    Duplicates differ at most in case and spacing; the first one stays. Raises `BasinError` if fewer
    than two documents are left, or two different ones have one identifier.
    """
    if config.tokens is not None:
        raise BasinError(
            "passages.tokens needs the tokenizer of a run's model, which is not read here: give passages.words."
        )
    refuse_unsegmented([document.text for document in documents])
    dropped: Counter[str] = Counter()
    seen: set[bytes] = set()
    ids: set[str] = set()
    chosen_documents: list[Document] = []
    passages: list[Passage] = []
    for document in documents:
        if _seen_before(document.text, seen):
            dropped["duplicate documents"] += 1
            continue
        if count_words(document.text) < config.minimum_words:
            dropped["short documents"] += 1
            continue
        cuts = cut(document.text, config.words)
        chosen = evenly_spaced(len(cuts), config.per_document)
        # The single passage of a document is the document, which has just been seen.
        fresh = [at for at in chosen if len(cuts) == 1 or not _seen_before(cuts[at], seen)]
        if len(chosen) > len(fresh):
            dropped["duplicate passages"] += len(chosen) - len(fresh)
        passages += [Passage(f"{document.id}-{at:04d}", len(chosen_documents), at, cuts[at]) for at in fresh]
        if fresh:
            _require_new_id(document, ids)
            chosen_documents.append(document)
    _require_documents(len(documents), len(chosen_documents), dropped, config)
    return PassageSet(documents=tuple(chosen_documents), passages=tuple(passages), dropped=dict(dropped))


def cut(text: str, words: int) -> list[str]:
    """Cut a text of n words into `round(n / words)` passages of about equal length, at sentence ends.

    The passages lose only white space at the cuts. More than `words` words without a sentence end are
    cut between words. A text without words gives one empty passage.
    """
    starts = np.fromiter((match.start() for match in running_words(text)), dtype=np.int64)
    pieces = max(1, round(len(starts) / words))
    places = _cutting_places(text, starts, words)
    chosen = [0]
    for piece in range(1, pieces):
        aim = piece * len(starts) / pieces
        at = int(np.searchsorted(places, aim))
        near = [int(place) for place in places[max(at - 1, 0) : at + 1] if place > chosen[-1]]
        if near:
            chosen.append(min(near, key=lambda place: abs(place - aim)))  # noqa: B023 (used at once)
    bounds = [0, *(int(starts[place]) for place in chosen[1:]), len(text)]
    return [text[begin:end].strip() for begin, end in zip(bounds[:-1], bounds[1:], strict=True)]


def sentence_ends(text: str) -> list[int]:
    """Where sentences and paragraphs end, each after its closing quotation marks."""
    return [
        match.end()
        for match in SENTENCE_END.finditer(text)
        if match[0] != "." or not NO_SENTENCE_END.search(text, max(match.start() - 6, 0), match.start())
    ]


def evenly_spaced(count: int, wanted: int | None) -> list[int]:
    """`wanted` of the indices below `count`, each from the middle of an equal stretch."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return [int((place + 0.5) * count / wanted) for place in range(wanted)]


def enough_per_document(found: PassageSet, config: PassagesConfig) -> int | None:
    """Passages of a document that suffice; None if the corpus is small or the number is configured.

    All measured results come from about a thousand passages spread over the corpus.
    """
    if config.per_document is not None:
        return None
    wanted = max(FEWEST, round(ENOUGH / len(found.documents)))
    return wanted if len(found.passages) > 2 * max(ENOUGH, wanted * len(found.documents)) else None


def _require_new_id(document: Document, ids: set[str]) -> None:
    """Refuse two texts with one digest, of which one would be measured by the other's label."""
    if document.id in ids:
        raise BasinError(
            f"Two different documents have the identifier {document.id} (the second: {document.title[:60]!r}): "
            "take one of them out of the corpus."
        )
    ids.add(document.id)


def _seen_before(text: str, seen: set[bytes]) -> bool:
    """Whether an equal text, up to case and spacing, was seen; adds it to `seen`."""
    digest = hashlib.blake2b(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass")).digest()
    known = digest in seen
    seen.add(digest)
    return known


def _cutting_places(text: str, starts: np.ndarray, words: int) -> np.ndarray:
    """Sorted indices of the words before which a text may be cut, without its ends."""
    places = np.searchsorted(starts, sentence_ends(text))
    edges = np.concatenate([[0], places, [len(starts)]])
    step = max(words // 4, 1)
    bare = [
        np.arange(edges[gap] + step, edges[gap + 1], step) for gap in np.flatnonzero(np.diff(edges) > words)
    ]
    places = np.unique(np.concatenate([places, *bare]).astype(np.int64))
    return places[(places > 0) & (places < len(starts))]


def _require_documents(given: int, left: int, dropped: Counter[str], config: PassagesConfig) -> None:
    """Refuse a corpus with nothing to compare."""
    if left >= 2:
        return
    if not given:
        raise BasinError("The corpus holds no documents: name one that holds at least two.")
    if dropped["short documents"]:
        raise BasinError(
            f"{left or 'None'} of the corpus's {given} documents is long enough, and two are needed: use "
            f"longer documents, or lower passages.minimum_words from {config.minimum_words}."
        )
    raise BasinError(
        f"The corpus holds a single {'distinct ' if given > 1 else ''}document, and a concept is learned by "
        "comparing documents: add more, or cut it into files by chapter."
    )
