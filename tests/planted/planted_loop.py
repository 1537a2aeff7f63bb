"""A tiny random language model, a corpus of made-up words with three themes, and runs of both."""

import functools

import numpy as np
import pytest
from conftest import make_causal_lm
from planted_log import listening
from planted_project import COMMON, LENGTH, PASSAGES, PLAIN, THEMES, WORDS, changed, make_corpus  # noqa: F401

from agent.language_model.model import LanguageModel
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.diagnostics.tiny_twin import word_tokenizer
from loops.refine import refine
from loops.round.context import RunContext, open_context

DOCUMENTS = 24
CRIME = np.repeat(np.arange(DOCUMENTS) % 3 == 0, PASSAGES)
SMALL = {
    "generation": {"samples": 6},
    "clustering": {"divisions": 2},
    "coherence": {"model": None},
    "rounds": 4,
}
OWN = {"language_model": {"name": "tiny"}, **SMALL}
SETTINGS = changed(COMMON, OWN)


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
    make_corpus(tmp_path / "corpus", DOCUMENTS)
    return tmp_path / "corpus"


@pytest.fixture
def begin(tmp_path, corpus):
    """A function that makes a new run of a name, with some stages' settings changed."""

    def make(name: str, **changes) -> RunStore:
        tree = changed({"corpus": {"source": str(corpus)}, **SETTINGS}, changes)
        return RunStore.create(tmp_path / "runs" / name, parse_config(tree, "test"))

    return make


def run_rounds(store: RunStore, until: int | None = None) -> RunContext:
    """What a session does of a run, without page and loggers."""
    context = open_context(store)
    refine(context, store, until)
    return context


def run(store: RunStore, rounds: int | None = None) -> list[str]:
    """Run the store's configuration; gives what was logged."""
    with listening() as heard:
        run_rounds(store, rounds)
    return heard.messages


def resume(store: RunStore, rounds: int | None = None) -> list[str]:
    return run(RunStore.open(store.path), rounds)


def contents(store: RunStore, *but: str) -> dict[str, bytes]:
    """Every file of every round, but those that say how long it took."""
    return {
        str(file.relative_to(store.path)): file.read_bytes()
        for file in sorted(store.path.glob("round_*/**/*"))
        if file.is_file() and file.name not in {"cost.json", "manifest.json", *but}
    }
