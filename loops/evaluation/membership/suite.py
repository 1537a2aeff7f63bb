"""The suite of measured concepts: corpora, pointing words, and each pointer's readings.

Gold labels are not read here. A seed decides the topic model and the split. A third of the authors
is unseen at a time (of the documents, where authors are unknown), and nothing is fitted on it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import TypeAdapter, ValidationError

from agent.config import CONFIGS, explain
from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.passages import PassagesConfig, split
from agent.corpora.words import ENGLISH, language
from agent.errors import BasinError
from agent.files.yaml_file import read_yaml
from agent.membership.documents import document_folds
from agent.pointer.lda import fit_cached
from agent.pointer.topic_model import Pointer, PointerReading, TopicModel, TopicsConfig, pick
from agent.types import PassageSet, StageConfig, seed_for

SUITE_FILE = CONFIGS / "suites" / "membership.yaml"
PARTS = 3
"""Parts of the documents, one of which is unseen at a time."""


class SuiteEntry(StageConfig):
    """One corpus of a suite of some kind."""

    name: str
    corpus: CorpusConfig
    passages: PassagesConfig = PassagesConfig()
    topics: TopicsConfig = TopicsConfig()
    pointer: Literal["words", "seed_words"] = "words"
    """Whether words select a topic of a common model, or seed the prior of an own model."""


class SuiteCorpus(SuiteEntry):
    """One corpus of the suite and its concepts."""

    rotate: bool = False
    """Leave each third unseen in turn and join the readings, for corpora of few documents."""
    concepts: dict[str, tuple[str, ...]]
    """Concept to the words that describe it."""


Entry = TypeVar("Entry", bound="SuiteEntry")


@dataclass(frozen=True)
class Pointed:
    """One concept's pointer, fitted on the seen documents, and its reading of each passage."""

    concept: str
    seed: int
    pointer: Pointer
    reading: PointerReading
    document_weights: Float[np.ndarray, "document"]
    """q0 of each whole document, read as one text."""


def load_suite(path: Path = SUITE_FILE) -> list[SuiteCorpus]:
    """The corpora of the suite; relative paths start at the file's folder. Raises `BasinError`."""
    return read_suite(path, SuiteCorpus, SUITE_FILE)


def read_suite(path: Path, kind: type[Entry], own: Path) -> list[Entry]:
    """The entries of a suite's file; `own` is the suite that comes with Basin. Raises `BasinError`."""
    entries: Any = list[kind]  # type: ignore[valid-type]
    try:
        suite: list[Entry] = TypeAdapter(entries).validate_python(read_yaml(path, "repair it"))
    except FileNotFoundError:
        raise BasinError(f"There is no suite {path}; the one that comes with Basin is {own}.") from None
    except ValidationError as error:
        raise BasinError(f"{path}: {explain(error, entries).rstrip('.')}; correct the entry.") from None
    if not suite:
        raise BasinError(f"{path} has no corpora; the one that comes with Basin is {own}.")
    names = [corpus.name for corpus in suite]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BasinError(f"{path} has two corpora called {twice[0]!r}; give each a name of its own.")
    return [each.model_copy(update={"corpus": _resolved(each.corpus, path.parent)}) for each in suite]


def require_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise a `BasinError` with the nearest known name for a name that is not known."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(dict.fromkeys(known))}."
            raise BasinError(f"There is no {what} {name!r} to evaluate; {hint}")


def _resolved(corpus: CorpusConfig, folder: Path) -> CorpusConfig:
    """The corpus with its path made absolute."""
    source = corpus.source
    if corpus.is_named or Path(source).is_absolute():
        return corpus
    return corpus.model_copy(update={"source": os.path.realpath(folder / corpus.path)})


def is_present(corpus: SuiteCorpus) -> bool:
    """Whether the corpus can be read here: it is a named one, or its file exists."""
    return corpus.corpus.is_named or os.path.exists(corpus.corpus.path)


def load_passages(corpus: SuiteCorpus) -> PassageSet:
    return split(load_corpus(corpus.corpus), corpus.passages)


def function_words(texts: Sequence[str], code: str = ENGLISH) -> PointerReading:
    """A pointer at function words, which is as sure as any and points at no concept."""
    stops = language(code).stop_words
    words = [text.casefold().split() for text in texts]
    total = np.array([len(each) for each in words], dtype=np.float64)
    expected = np.array([sum(word in stops for word in each) for each in words], dtype=np.float64)
    return PointerReading((expected + 0.5) / (total + 1), expected, total)


def parts(passages: PassageSet, seed: int) -> Int[np.ndarray, "document"]:
    """The part of each document; an author's documents are in one part."""
    authors = [document.author or document.id for document in passages.documents]
    _, author_of = np.unique(authors, return_inverse=True)
    return document_folds(author_of, PARTS, seed_for(seed, 0, "suite/parts"))


def pointers(
    corpus: SuiteCorpus,
    passages: PassageSet,
    unseen: Bool[np.ndarray, "document"],
    seed: int,
    concepts: Sequence[str] | None = None,
) -> Iterator[Pointed]:
    """Fit topics on the seen documents and read all passages, concept by concept."""
    seen = [document for document, hidden in zip(passages.documents, unseen, strict=True) if not hidden]
    wanted = {name: words for name, words in corpus.concepts.items() if concepts is None or name in concepts}
    if corpus.pointer == "seed_words":
        for concept, words in wanted.items():
            config = corpus.topics.model_copy(update={"seed_words": words})
            pointer = pick(fit_cached(seen, config, seed), config)
            yield _pointed(concept, seed, pointer, _read(pointer.model, passages))
        return
    single = corpus.topics.model_copy(update={"restarts": 1})
    models = [
        fit_cached(seen, single, seed_for(seed, 0, f"suite/restart {number}"))
        for number in range(corpus.topics.restarts)
    ]
    readings: dict[int, dict[str, np.ndarray]] = {}
    for concept, words in wanted.items():
        picked = [pick(model, single.model_copy(update={"words": words})) for model in models]
        mass = [pointer.model.mass_on(words)[pointer.topic] for pointer in picked]
        best = int(np.argmax(mass))
        if best not in readings:
            readings[best] = _read(models[best], passages)
        yield _pointed(concept, seed, picked[best], readings[best])


def _pointed(concept: str, seed: int, pointer: Pointer, read: dict[str, np.ndarray]) -> Pointed:
    of_documents = pointer.model.weights(read["documents"])[:, pointer.topic]
    return Pointed(concept, seed, pointer, pointer.reading(read["passages"]), of_documents)


def _read(model: TopicModel, passages: PassageSet) -> dict[str, np.ndarray]:
    """Expected words per topic of each passage, and of each document's passages together."""
    expected = model.expected_words(passages.texts)
    texts: list[list[str]] = [[] for _ in passages.documents]
    for passage in passages.passages:
        texts[passage.document].append(passage.text)
    return {"passages": expected, "documents": model.expected_words(["\n".join(each) for each in texts])}
