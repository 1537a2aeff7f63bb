"""Frozen records that cross module boundaries, and the names of array axes.

Axis names used in jaxtyping annotations everywhere:

| axis     | meaning                                                        |
| -------- | -------------------------------------------------------------- |
| passage  | passages of real text, in corpus order                         |
| text     | any texts: real, generated or both                             |
| document | documents, in corpus order                                     |
| layer    | recorded layers, in the configured order                       |
| width    | the residual stream's dimension d                              |
| feature  | columns handed to a clustering method, after projection        |
| topic    | topics of the LDA model                                        |
| word     | words of the LDA vocabulary                                    |
| token    | positions of a token sequence                                  |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Document:
    """One text with its title and author. Labels never enter: they live in `agent.judging`.

    `id` is `document_id(text)`, an opaque digest, so that no category leaks through a file name.
    """

    id: str
    text: str
    title: str = ""
    author: str = ""


@dataclass(frozen=True)
class Passage:
    """A run of about `PassagesConfig.words` words of one document."""

    id: str
    document: int
    """Index into `PassageSet.documents`."""
    position: int
    """0 for the document's first passage."""
    text: str


@dataclass(frozen=True)
class PassageSet:
    """All passages of a corpus in document order, and counts of what was dropped."""

    documents: tuple[Document, ...]
    passages: tuple[Passage, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason (`duplicate documents`, `short documents`) to count."""

    @property
    def texts(self) -> list[str]:
        return [passage.text for passage in self.passages]

    @property
    def document_of(self) -> np.ndarray:
        """Document index of every passage, int array of shape [passage]."""
        return np.array([passage.document for passage in self.passages], dtype=np.int64)

    def only(self, kept: np.ndarray) -> PassageSet:
        """The documents that a boolean array [document] keeps, with their passages."""
        new = np.cumsum(kept) - 1
        passages = [
            replace(each, document=int(new[each.document])) for each in self.passages if kept[each.document]
        ]
        documents = [each for each, keep in zip(self.documents, kept, strict=True) if keep]
        return PassageSet(tuple(documents), tuple(passages), self.dropped)

    @property
    def description(self) -> str:
        """Counts of documents, passages and dropped texts, in words."""
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count)
        found = f"{len(self.documents)} documents, {len(self.passages)} passages"
        return found + (f" (dropped: {dropped})" if dropped else "")


def document_id(text: str) -> str:
    """Opaque, content-derived identifier: 12 hex digits of the SHA-256 of the text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def total_seconds(cost: Mapping[str, float]) -> float:
    """Sum of the stages' seconds; `cost` also holds memory, as `peak_gb`."""
    return float(sum(value for stage, value in cost.items() if stage != "peak_gb"))


def seed_for(run_seed: int, round_number: int, stage: str) -> int:
    """A 31-bit seed from its arguments alone, so that resuming needs no generator state."""
    digest = hashlib.sha256(f"{run_seed}/{round_number}/{stage}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
