"""A tiny random language model, a corpus of made-up words with three themes, and runs of both."""

from __future__ import annotations

import functools
from string import ascii_lowercase

import numpy as np
import pytest
from conftest import make_causal_lm
from planted_log import listening

from agent.language_model.model import LanguageModel
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.diagnostics.tiny_twin import word_tokenizer
from loops.refine import refine
from loops.round.context import RunContext, open_context

THEMES = {theme: [theme + letter for letter in ascii_lowercase[:10]] for theme in ("crime", "ocean", "field")}
PLAIN = ["plain" + first + second for first in "abcdef" for second in "abcdefghij"]
WORDS = [word for words in (*THEMES.values(), PLAIN) for word in words]
DOCUMENTS, PASSAGES, LENGTH = 24, 5, 40
CRIME = np.repeat(np.arange(DOCUMENTS) % 3 == 0, PASSAGES)

SETTINGS = {
    "passages": {"words": LENGTH, "minimum_words": 20},
    "topics": {"count": 3, "chunk_words": 100, "minimum_chunks": 3, "passes": 10, "words": THEMES["crime"]},
    "language_model": {"name": "tiny", "layers": [1, 2], "dtype": "float32"},
    "generation": {"samples": 6, "new_tokens": 12, "prompt_words": 5},
    "clustering": {"components": 12, "folds": 4, "divisions": 2},
    "updating": {"method": "mean_difference", "budget_nats": 0.05, "degenerate": 4, "degenerate_nats": 0.5},
    "coherence": {"model": None, "words": 10, "prompt_words": 5},
    "tracking": {"drift_bound": 0.0, "minimum_coherence": 0.0, "maximum_repetitive": 1.0},
    "rounds": 4,
    "seed": 5,
}


@functools.cache
def tiny_parts():
    """A random model with two steerable layers, and a tokenizer of the made-up words."""
    return make_causal_lm("llama", depth=3), word_tokenizer(WORDS, "[a-z]+")


def tiny_model(config) -> LanguageModel:
    return LanguageModel(*tiny_parts(), config)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Nothing is loaded, and activations are kept where the test can look."""
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(LanguageModel, "load", tiny_model)


@pytest.fixture
def corpus(tmp_path):
    """A quarter of a document's words belong to its theme, a few to another one."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "corpus"
    folder.mkdir()
    names = list(THEMES)
    for number in range(DOCUMENTS):
        kinds = generator.choice(3, PASSAGES * LENGTH, p=[0.25, 0.05, 0.7])
        own, other = THEMES[names[number % 3]], THEMES[names[generator.integers(3)]]
        words = [generator.choice((own, other, PLAIN)[kind]) for kind in kinds]
        (folder / f"{number:02d}.txt").write_text(" ".join(words), encoding="utf-8")
    return folder


@pytest.fixture
def begin(tmp_path, corpus):
    """A function that makes a new run of a name, with some stages' settings changed."""

    def make(name: str, **changes) -> RunStore:
        tree = {"corpus": {"source": str(corpus)}, **SETTINGS}
        for key, value in changes.items():
            tree[key] = {**tree.get(key, {}), **value} if isinstance(value, dict) else value
        return RunStore.create(tmp_path / "runs" / name, parse_config(tree, "test"))

    return make


def run_rounds(store: RunStore, until: int | None = None) -> RunContext:
    """What a session does of a run, without page and loggers."""
    context = open_context(store)
    refine(context, store, until)
    return context


def run(store: RunStore) -> list[str]:
    """Run the store's configuration; gives what was logged."""
    with listening() as heard:
        run_rounds(store)
    return heard.messages


def resume(store: RunStore, rounds: int | None = None) -> list[str]:
    with listening() as heard:
        run_rounds(RunStore.open(store.path), rounds)
    return heard.messages


def contents(store: RunStore, *but: str) -> dict[str, bytes]:
    """Every file of every round, but those that say how long it took."""
    return {
        str(file.relative_to(store.path)): file.read_bytes()
        for file in sorted(store.path.glob("round_*/*"))
        if file.name not in {"cost.json", "manifest.json", *but}
    }
