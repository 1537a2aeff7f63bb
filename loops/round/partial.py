"""What a round has written and read so far, kept until the round is whole: a kill loses the batch in hand and nothing else.

Nothing here is part of a run. A file is known by all that its texts depend on, so what was left by another concept, model or
setting is never taken; and it is only a convenience, so a disk that refuses it is no reason to stop.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from agent.concept import Concept
from agent.files.checked import DamagedError, parse_json, parse_tensors, read_inside
from agent.language_model.decoding.loop import GenerationConfig
from loops.checkpoint.atomic import MOST_TENSORS, write_file
from loops.checkpoint.schema import MOST

FOLDER = "written"
READ = "read"
TEXTS = 64
"""That are read together: some thousand tokens, half a minute for a small model on two cores."""

Text = TypeVar("Text")
Write = Callable[[Sequence[str], Sequence[int], Concept], list[str]]


def write_in_parts(
    write: Write,
    prompts: Sequence[str],
    seeds: Sequence[int],
    concept: Concept,
    config: GenerationConfig,
    model: str,
    scratch: Path,
) -> list[str]:
    """Passages batch by batch, each batch kept in `scratch` as soon as it is there; what is there is not written again.

    Args:
        write: gives the passages of some prompts and seeds; the same whatever else is written.
        concept: what it is written with; without vector and adapter it is the base model that writes.
        model: the fingerprint of the language model.
    """
    texts: list[str] = []
    for start in range(0, len(prompts), config.batch_size):
        part = slice(start, start + config.batch_size)
        file = scratch / FOLDER / f"{_digest(prompts[part], seeds[part], concept, config, model)}.json"
        found = _read(file, len(prompts[part]))
        if found is None:
            found = write(prompts[part], seeds[part], concept)
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_file(file, json.dumps(found).encode())
        texts += found
    return texts


def read_in_parts(
    read: Callable[[Sequence[Text]], Float[np.ndarray, "text ..."]],
    texts: Sequence[Text],
    about: str,
    scratch: Path,
) -> Float[np.ndarray, "text ..."]:
    """Numbers about texts, part by part, each kept in `scratch` as soon as it is there; what is there is not read again.

    Args:
        read: gives a row a text; a row may depend on the other texts of its part, by rounding.
        about: what is read and by whom, with all that the numbers depend on besides the texts.
    """
    parts = []
    for start in range(0, len(texts), TEXTS):
        part = texts[start : start + TEXTS]
        file = (
            scratch
            / READ
            / f"{hashlib.sha256(json.dumps([about, part]).encode()).hexdigest()[:32]}.safetensors"
        )
        found = _read_array(file, len(part))
        if found is None:
            found = read(part)
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                write_file(file, safetensors.numpy.save({"rows": np.ascontiguousarray(found)}))
        parts.append(found)
    return np.concatenate(parts)


def _digest(
    prompts: Sequence[str], seeds: Sequence[int], concept: Concept, config: GenerationConfig, model: str
) -> str:
    digest = hashlib.sha256(
        json.dumps([list(prompts), list(seeds), config.model_dump_json(), model]).encode()
    )
    if concept.vector is not None:
        for name, tensor in concept.vector.tensors().items():
            digest.update(name.encode() + tensor.numpy().tobytes())
        gate = concept.mode.gate
        digest.update(repr((concept.mode.norm_preserving, gate and gate.numbers())).encode())
        if gate is not None:
            digest.update(gate.direction.numpy().tobytes())
    if concept.adapter is not None:
        digest.update(concept.adapter.digest.encode())
    return digest.hexdigest()[:32]


def _read(file: Path, count: int) -> list[str] | None:
    """None where there is nothing, or nothing whole."""
    try:
        texts = parse_json(read_inside(file.parent, file.name, MOST), file.name)
    except DamagedError:
        return None
    whole = isinstance(texts, list) and len(texts) == count and all(isinstance(each, str) for each in texts)
    return texts if whole else None


def _read_array(file: Path, count: int) -> Float[np.ndarray, "text ..."] | None:
    try:
        content = read_inside(file.parent, file.name, MOST_TENSORS)
        rows = parse_tensors(content, file.name)["rows"].numpy()
    except (DamagedError, KeyError, TypeError):
        return None
    return rows if rows.ndim and len(rows) == count else None
