"""The formats by name, and how one is made."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import BasinError
from loops.export import labels, model, vector
from loops.export.card import model_card
from loops.export.subject import Export
from loops.export.target import drafted, refuse_taken

FORMS = ("bfloat16", "float16", "float32", "q8_0")


@dataclass(frozen=True)
class Format:
    """One way out."""

    write: Callable[[Export, Path], list[str]]
    """Writes to a draft; sentences on what is not in it."""
    ending: str
    """Of the file's name; empty for a folder."""
    meaning: str


FORMATS = {
    "control-vector": Format(vector.control_vector, ".gguf", "GGUF of directions, for llama.cpp and repeng"),
    "safetensors": Format(vector.vector_tensors, ".safetensors", "the directions, and how they are applied"),
    "adapter": Format(model.adapter, "", "folder that PEFT loads"),
    "model": Format(
        model.model, "", "folder that transformers loads: adapter and vector in the weights, with a card"
    ),
    "gguf": Format(model.gguf, ".gguf", "the same model in one file, for llama.cpp"),
    "dataset": Format(labels.dataset, "", "folder that datasets loads: passages, topic weight, membership"),
}


@dataclass(frozen=True)
class Made:
    """What an export came to."""

    path: Path
    sentences: list[str]
    """What it does not hold, and how it is used."""


def export_round(export: Export, name: str, out: Path | None = None) -> Made:
    """Write one format, whole or not at all.

    Args:
        out: where to; by default the run, round and format as a name in the working directory.

    Raises:
        BasinError: there is no such format, the round has not what it needs, or it cannot be written there.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? There are" if near else "there are"
        raise BasinError(f"There is no format {name!r}; {hint} {', '.join(FORMATS)}.")
    if export.form not in FORMS:
        raise BasinError(f"There is no --dtype {export.form!r}; there are {', '.join(FORMS)}.")
    chosen = FORMATS[name]
    target = out or Path(f"{export.store.name}-round{export.round}-{name}{chosen.ending}")
    refuse_taken(target)  # before a model is loaded
    with drafted(target) as draft:
        sentences = chosen.write(export, draft)
    return Made(target, sentences)


def card_of(export: Export, sentences: list[str]) -> str:
    """The card of a format that is one file, for where it is shown beside it."""
    return model_card(export, "file", sentences)
