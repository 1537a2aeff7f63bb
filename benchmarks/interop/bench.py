"""What every consumer is tried with: a run's round, its exports on disk, texts, and what Basin itself does with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.model import LanguageModel
from loops.api.classifier import ConceptClassifier
from loops.checkpoint.store import RunStore
from loops.export.formats import FORMATS, export_round
from loops.export.subject import Export

Row = dict[str, Any]
READ = 8
"""Passages whose next-token logits are compared, at their last token."""
WRITTEN, TOKENS = 16, 48


@dataclass
class Bench:
    """One run; `steered` is a round that only steers, `adapted` one with an adapter, which steers besides."""

    store: RunStore
    folder: Path
    say: Callable[[str], None]
    steered: int
    adapted: int
    written: int = WRITTEN
    _kept: dict[Any, Any] = field(default_factory=dict)

    def export(self, name: str, number: int, form: str = "float32") -> Path:
        """A round's export, made once."""
        path = self.folder / f"round{number}-{form}-{name}{FORMATS[name].ending}"
        if not path.exists():
            self.say(f"exporting {name} of round {number} in {form}")
            export_round(Export.of(self.store, number, dtype=form), name, path)
        return path

    @cached_property
    def own(self) -> LanguageModel:
        """The base model in float32."""
        config = self.store.config.language_model.model_copy(update={"dtype": "float32"})
        return LanguageModel.load(config)

    @cached_property
    def texts(self) -> list[str]:
        """Beginnings of passages, some 40 words each."""
        whole = self.store.load_passages().texts
        chosen = np.linspace(0, len(whole) - 1, READ).astype(int)
        return [" ".join(whole[at].split()[:40]) for at in chosen]

    def ids(self, text: str) -> list[int]:
        return self.own.tokenizer(text)["input_ids"]

    def logits(self, number: int | None) -> Float[np.ndarray, "text word"]:
        """Basin's next-token logits after every text: of a round's writer, or of the base model."""
        if ("logits", number) not in self._kept:
            writer, concept = self._writer(number)
            steered = nullcontext() if concept is None else writer.steer(concept.vector, 1.0, concept.manner)
            with steered:
                self._kept["logits", number] = self.logits_of(writer.model)
        return self._kept["logits", number]

    @torch.no_grad()
    def logits_of(self, model: Any) -> Float[np.ndarray, "text word"]:
        """A transformers model's next-token logits after every text."""
        return np.stack([model(torch.tensor([self.ids(text)])).logits[0, -1].numpy() for text in self.texts])

    def _writer(self, number: int | None) -> tuple[LanguageModel, Any]:
        if number is None:
            return self.own, None
        concept = self.store.load(number).concept
        return self.own.adapted(concept.adapter), concept

    @cached_property
    def prompts(self) -> list[str]:
        """First words of passages from all over the corpus."""
        whole = self.store.load_passages().texts
        chosen = np.linspace(1, len(whole) - 2, self.written).astype(int)
        return [" ".join(whole[at].split()[:9]) for at in chosen]

    def write_here(self, number: int | None) -> list[str]:
        """What Basin writes on the prompts, each with its prompt."""
        if ("texts", number) not in self._kept:
            writer, concept = self._writer(number)
            config = GenerationConfig(new_tokens=TOKENS, temperature=0.9, top_k=64, top_p=0.95)
            vector = None if concept is None else concept.vector
            texts = writer.generate(self.prompts, range(len(self.prompts)), config, vector)
            self._kept["texts", number] = [a + b for a, b in zip(self.prompts, texts, strict=True)]
        return self._kept["texts", number]

    def greedy(self, number: int | None, tokens: int) -> list[str]:
        """The likeliest continuation of every prompt: of a round's writer, or of the base model."""
        writer, concept = self._writer(number)
        config = GenerationConfig(new_tokens=tokens, temperature=0)
        vector = None if concept is None else concept.vector
        return writer.generate(self.prompts, range(len(self.prompts)), config, vector)

    def membership(self, texts: list[str], number: int) -> float:
        """Mean membership under a round's concept: how much of what was written belongs."""
        classifier = self._kept.setdefault(
            ("classifier", number), ConceptClassifier(self.store.path, round=number)
        )
        return float(classifier.predict_proba(texts)[:, 1].mean())


def row(
    export: str, consumer: str, package: str | None, effect: str, value: float, base: float | None = None
) -> Row:
    """A row of the results, of an export that was loaded: `effect` says in words what `value` and `base` are."""
    return {
        "tool": export,
        "consumer": consumer,
        "version": _version(package) if package else None,
        "loaded": True,
        "effect": effect,
        "value": value,
        "base": base,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a folder on PYTHONPATH, without what an installer leaves
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def agreement(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Mean cosine of two changes of logits, text by text: 1 where they do the same."""
    theirs, ours = (each - each.mean(axis=1, keepdims=True) for each in (theirs, ours))
    products = (theirs * ours).sum(axis=1)
    return float(
        (products / np.maximum(np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1), 1e-12)).mean()
    )
