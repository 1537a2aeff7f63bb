"""The suite of `basin evaluate generation`: corpora, concepts and their pointers.

Gold labels are not read here. A third of the authors is unseen: it provides the openings and trains
the judges.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agent.config import CONFIGS
from agent.types import StageConfig
from loops.evaluation.membership.suite import SuiteCorpus, SuiteEntry, read_suite

SUITE_FILE = CONFIGS / "suites" / "generation.yaml"


class WrittenConcept(StageConfig):
    """One concept to generate from."""

    called: str
    """Its name without an article, for instructions and a judge; the loop never uses it."""
    words: tuple[str, ...] = Field(min_length=1)
    """Words that select its topic."""


class WrittenCorpus(SuiteEntry):
    """One corpus and the concepts to generate from."""

    contrast: str = "novel"
    """The kind of text that the rest of the corpus is, as similar to the concepts as possible."""
    concepts: dict[str, WrittenConcept]

    @property
    def pointed_at(self) -> SuiteCorpus:
        """The entry of the membership suite for this corpus."""
        concepts = {name: concept.words for name, concept in self.concepts.items()}
        same = {name: getattr(self, name) for name in ("name", "corpus", "passages", "topics", "pointer")}
        return SuiteCorpus(**same, concepts=concepts)


def load_generation_suite(path: Path = SUITE_FILE) -> list[WrittenCorpus]:
    """The corpora of the suite; relative paths start at the file's folder. Raises `BasinError`."""
    return read_suite(path, WrittenCorpus, SUITE_FILE)


def task_name(corpus: str, concept: str) -> str:
    """The name of a task's files and folder."""
    return f"{corpus}_{concept}".replace(" ", "_")
