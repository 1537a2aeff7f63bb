"""What `basin evaluate generation` writes from: corpora, concepts and their pointers, read from a file.

Nothing here knows a gold label. A third of the authors is unseen: judges are fitted on it and openings are taken from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from agent.errors import BasinError, first_sentence
from agent.passages import PassagesConfig
from agent.sources.corpora import CorpusConfig
from agent.topics import TopicsConfig
from agent.types import StageConfig
from loops.suite import SuiteCorpus, resolved

SUITE_FILE = Path(__file__).parents[1] / "configs" / "generation.yaml"


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
    try:
        suite = TypeAdapter(list[WrittenCorpus]).validate_python(yaml.safe_load(path.read_text("utf-8")))
    except FileNotFoundError:
        raise BasinError(
            f"There is no suite {path}; the one that comes with Basin is {SUITE_FILE}."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise BasinError(f"{path}: {place}: {first['msg'].lower()}; correct the entry.") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BasinError(f"{path} cannot be read as YAML ({first_sentence(error)}); repair it.") from None
    return [each.model_copy(update={"corpus": resolved(each.corpus, path.parent)}) for each in suite]
