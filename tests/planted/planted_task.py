"""A planted generation task: a random model of the words `w0` to `w89`, of which the concept prefers thirty."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from conftest import make_language_model, sentence

from agent.adapting.config import AdaptingConfig, LessonConfig, LoraConfig
from agent.judging.judges import RealPassages
from agent.language_model.decoding.config import GenerationConfig
from agent.pointer.topic_model import Pointer, TopicModel
from agent.types import Document, Passage, PassageSet
from loops.evaluation.generation.task import TargetConcept, Task
from loops.evaluation.generation.workspace import Workspace

CALLED = "whodunit"
"""A name that only `prompt-name` may use."""
PROMPTS = [sentence(at, at + 30, at + 60) for at in range(6)]
ADAPTING = AdaptingConfig(
    lesson=LessonConfig(tokens=256, window=32), lora=LoraConfig(rank=2, batch=4, learning_rate=0.1)
)


def passage(generator: np.random.Generator, inside: bool, words: int) -> str:
    """Words of the concept or of the rest, and of both."""
    own = generator.integers(0, 30, words) + (0 if inside else 30)
    both = generator.integers(60, 90, words)
    return sentence(*np.where(generator.random(words) < 0.5, own, both).tolist())


def as_passages(texts: list[str]) -> PassageSet:
    """Every text as a document of one passage."""
    documents = tuple(Document(f"{at}", text) for at, text in enumerate(texts))
    return PassageSet(documents, tuple(Passage(f"{at}", at, 0, text) for at, text in enumerate(texts)))


def planted_task(folder: Path, model=None) -> Task:
    """Half of the passages are members; target concepts read one coordinate of the activations."""
    generator = np.random.default_rng(0)
    model = model or make_language_model(layers=(1,), dtype="float32")
    seen_gold, unseen_gold = np.arange(24) % 2 == 0, np.arange(40) // 4 % 2 == 0
    seen = [passage(generator, inside, 24) for inside in seen_gold]
    unseen = [passage(generator, inside, 130) for inside in unseen_gold]
    counts = np.ones((2, 90))
    counts[0, :30] = 50
    vocabulary = tuple(f"w{number}" for number in range(90))
    targets = {
        name: TargetConcept(membership, lambda texts, sign=sign: sign * 4 * texts.activations[:, 0, 0])
        for name, membership, sign in (
            ("topic", np.where(np.arange(24) % 5 < 2, 0.6, 0.3), -1),
            ("basin", np.where(np.arange(24) % 4 == 0, 0.9, 0.1), 1),
            ("gold", seen_gold.astype(np.float64), 1),
            ("corpus", np.ones(24), 1),
            ("random", np.where(np.arange(24) % 4 == 1, 1.0, 0.0), 1),
        )
    }
    activations = model.record(seen)
    pointer = Pointer(TopicModel(vocabulary, counts, np.array([0.5, 0.5]), 1), 0)
    named = {"corpus": "stories", "concept": "sea", "called": CALLED, "contrast": "story", "seed": 3}
    read = {"seen": as_passages(seen), "activations": activations, "pointer": pointer, "targets": targets}
    written = {"language_model": model, "prompts": PROMPTS, "folder": folder}
    real = RealPassages(unseen, unseen_gold, np.arange(40) // 4)
    documents = [Document(f"{at}", text) for at, text in enumerate([*seen, *unseen])]
    return Task(**named, **read, **written, warning=None, unseen=real, documents=documents)


class OddIsCoherent:
    """Coherence that a test can predict: whether the last word's number is odd."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def check(self, texts, prompts):
        self.read += texts
        return SimpleNamespace(coherent=np.array([odd(text) for text in texts]))


def odd(text: str) -> bool:
    return int(text.rpartition("w")[2]) % 2 == 1


def planted_workspace(task: Task, tokens: int = 8) -> Workspace:
    return Workspace(task, GenerationConfig(new_tokens=tokens, batch_size=32), OddIsCoherent(), ADAPTING)
