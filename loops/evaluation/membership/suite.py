"""The suite of measured concepts: corpora, pointing words, and each pointer's reading.

Gold labels are not read here. A seed decides the topic model and the split. A third of the authors
is unseen at a time (of the documents, where authors are unknown), and nothing is fitted on it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from jaxtyping import Bool, Int
from pydantic import TypeAdapter, ValidationError, model_validator

from agent.config import CONFIGS, StageConfig, absolute_paths, explain
from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.errors import BasinError
from agent.files.yaml_file import read_yaml
from agent.membership.documents import document_folds
from agent.pointer.lda import fit_cached
from agent.pointer.topic_model import Pointer, PointerReading, TopicsConfig, pick
from agent.types import PassageSet, seed_for

SUITE_FILE = CONFIGS / "suites" / "membership.yaml"
PARTS = 3
"""Parts of the documents, one of which is unseen at a time."""


class SuiteCorpus(StageConfig):
    """One corpus of the suite and its concepts."""

    name: str
    corpus: CorpusConfig
    passages: PassagesConfig = PassagesConfig()
    topics: TopicsConfig = TopicsConfig()
    pointer: Literal["words", "seed_words"] = "words"
    """Whether words select a topic of a common model, or seed the prior of an own model."""

    rotate: bool = False
    """Leave each third unseen in turn and join the readings, for corpora of few documents."""
    concepts: dict[str, tuple[str, ...]]
    """Concept to the words that describe it."""
    called: dict[str, str] = {}
    """Concept to its name without an article, for those that `basin evaluate generation` writes.
    Instructions and a judge use it, never the loop."""
    contrast: str = "novel"
    """The kind of text that the rest of the corpus is, as similar to the concepts as possible."""

    @model_validator(mode="after")
    def _called_are_concepts(self) -> Self:
        if unknown := [name for name in self.called if not self.concepts.get(name)]:
            raise ValueError(f"called names {unknown[0]!r}, which is no concept with words")
        return self


@dataclass(frozen=True)
class Pointed:
    """One concept's pointer, fitted on the seen documents, and its reading of each passage."""

    pointer: Pointer
    reading: PointerReading


def load_suite(path: Path = SUITE_FILE) -> list[SuiteCorpus]:
    """The corpora of the suite; relative paths start at the file's folder. Raises `BasinError`."""
    entries, own = list[SuiteCorpus], SUITE_FILE
    try:
        suite = TypeAdapter(entries).validate_python(read_yaml(path, "repair it"))
    except FileNotFoundError:
        raise BasinError(f"There is no suite {path}; the one that comes with Basin is {own}.") from None
    except ValidationError as error:
        raise BasinError(f"{path}: {explain(error, entries).rstrip('.')}; correct the entry.") from None
    if not suite:
        raise BasinError(f"{path} has no corpora; the one that comes with Basin is {own}.")
    names = [corpus.name for corpus in suite]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BasinError(f"{path} has two corpora called {twice[0]!r}; give each a name of its own.")
    return [absolute_paths(each, path.parent) for each in suite]


def require_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise a `BasinError` with the nearest known name for a name that is not known."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(dict.fromkeys(known))}."
            raise BasinError(f"There is no {what} {name!r} to evaluate; {hint}")


def is_present(corpus: SuiteCorpus) -> bool:
    """Whether the corpus can be read here: it is a named one, or its file exists."""
    return corpus.corpus.is_named or os.path.exists(corpus.corpus.path)


def task_name(corpus: str, concept: str) -> str:
    """The name of the files and folders of one concept."""
    return re.sub(r"[^\w.-]", "_", f"{corpus}_{concept}")


def load_passages(corpus: SuiteCorpus) -> PassageSet:
    return split(load_corpus(corpus.corpus), corpus.passages)


def parts(passages: PassageSet, seed: int) -> Int[np.ndarray, "document"]:
    """The part of each document; an author's documents are in one part."""
    authors = [document.author or document.id for document in passages.documents]
    _, author_of = np.unique(authors, return_inverse=True)
    return document_folds(author_of, PARTS, seed_for(seed, 0, "suite/parts"))


def point(
    corpus: SuiteCorpus, passages: PassageSet, unseen: Bool[np.ndarray, "document"], seed: int, concept: str
) -> Pointed:
    """Fit topics on the seen documents, pick the concept's, and read all passages."""
    seen = [document for document, hidden in zip(passages.documents, unseen, strict=True) if not hidden]
    words = corpus.concepts[concept]
    if corpus.pointer == "seed_words":
        config = corpus.topics.model_copy(update={"seed_words": words})
        pointer = pick(fit_cached(seen, config, seed), config)
    else:
        single = corpus.topics.model_copy(update={"restarts": 1})  # without words, so concepts share models
        models = (
            fit_cached(seen, single, seed_for(seed, 0, f"suite/restart {number}"))
            for number in range(corpus.topics.restarts)
        )
        picked = [pick(model, single.model_copy(update={"words": words})) for model in models]
        pointer = max(picked, key=lambda each: float(each.model.mass_on(words)[each.topic]))
    return Pointed(pointer, pointer.reading(pointer.model.expected_words(passages.texts)))
