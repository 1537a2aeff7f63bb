"""What `basin evaluate generation` writes from: corpora, concepts and their pointers, read from a file.

Nothing here knows a gold label. A third of the authors is unseen: judges are fitted on it and openings are taken from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.config import CONFIGS
from agent.corpora.load import CorpusConfig
from agent.corpora.passages import PassagesConfig
from agent.pointer.topic_model import TopicsConfig
from agent.types import StageConfig
from loops.evaluation.membership.suite import SuiteCorpus, read_suite

SUITE_FILE = CONFIGS / "suites" / "generation.yaml"


class WrittenConcept(StageConfig):
    """One concept to write from."""

    called: str
    """What a person calls it, without an article: told to rivals and to a judge, never to the loop."""
    words: tuple[str, ...] = Field(min_length=1)
    """Pick the topic that points at it."""


class WrittenCorpus(StageConfig):
    """One corpus, and the concepts that are written from in it."""

    name: str
    corpus: CorpusConfig
    passages: PassagesConfig = PassagesConfig()
    topics: TopicsConfig = TopicsConfig()
    pointer: Literal["words", "seed_words"] = "words"
    """Whether a concept's words pick a topic of one common model, or seed the prior of a model of their own."""
    contrast: str = "novel"
    """What the rest of the corpus is, as much like the concepts as can be."""
    concepts: dict[str, WrittenConcept]

    @property
    def pointed_at(self) -> SuiteCorpus:
        """The same as the membership suite has it."""
        concepts = {name: concept.words for name, concept in self.concepts.items()}
        same = {name: getattr(self, name) for name in ("name", "corpus", "passages", "topics", "pointer")}
        return SuiteCorpus(**same, concepts=concepts)


def load_generation_suite(path: Path = SUITE_FILE) -> list[WrittenCorpus]:
    """The corpora to write from; relative corpus paths are taken from the file's folder. Raises BasinError."""
    return read_suite(path, WrittenCorpus, SUITE_FILE)


def task_name(corpus: str, concept: str) -> str:
    """How a corpus and concept are called in the names of files and folders."""
    return f"{corpus}_{concept}".replace(" ", "_")
