"""Unfinished work of a round, kept batch by batch until the round is stored: a kill loses one batch.

A file's name is a digest of everything that its content depends on, so another concept, model or
setting never finds it. Nothing here is part of a run, and a disk that refuses a file is no reason
to stop.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from agent.concept import Concept
from agent.files.checked import DamagedError, parse_json, parse_tensors, read_inside
from agent.language_model.decoding.config import GenerationConfig
from loops.checkpoint.atomic import MOST_TENSORS, write_file
from loops.checkpoint.schema import MOST

READ_TOGETHER = 64
"""Texts in a batch of recordings or losses: half a minute for a small model on two cores."""
Result = TypeVar("Result")


@dataclass
class Batch(Generic[Result]):
    """Items that are computed together."""

    items: Sequence[Any]
    stored: Result | None
    """The result, where an interrupted round left one."""
    file: Path

    def keep(self, result: Result) -> Result:
        """Store the result; the same again."""
        self.stored = result
        if isinstance(result, np.ndarray):
            content = safetensors.numpy.save({"rows": np.ascontiguousarray(result)})
        else:
            content = json.dumps(result).encode()
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.file, content)
        return result


@dataclass(frozen=True)
class PartialWork:
    """The folder with a round's finished batches."""

    folder: Path

    def text_batches(self, items: Sequence[Any], size: int, key: str) -> Iterator[Batch[list[str]]]:
        """Batches whose results are lists of texts.

        Args:
            key: everything that the results depend on besides the items.
        """
        for part, file in self._parts(items, size, "written", key, ".json"):
            yield Batch(part, _stored_texts(file, len(part)), file)

    def row_batches(self, items: Sequence[Any], key: str) -> Iterator[Batch[Float[np.ndarray, "item ..."]]]:
        """Batches whose results are arrays with one row for each item."""
        for part, file in self._parts(items, READ_TOGETHER, "read", key, ".safetensors"):
            yield Batch(part, _stored_rows(file, len(part)), file)

    def _parts(
        self, items: Sequence[Any], size: int, kind: str, key: str, ending: str
    ) -> Iterator[tuple[Sequence[Any], Path]]:
        for start in range(0, len(items), size):
            part = items[start : start + size]
            digest = hashlib.sha256(json.dumps([key, part]).encode()).hexdigest()[:32]
            yield part, self.folder / kind / f"{digest}{ending}"


def writing_key(concept: Concept, config: GenerationConfig, model: str) -> str:
    """A digest of everything that generated passages depend on besides prompts and seeds.

    Args:
        model: the fingerprint of the language model.
    """
    digest = hashlib.sha256(json.dumps([config.model_dump_json(), model]).encode())
    if concept.vector is not None:
        for name, tensor in concept.vector.tensors().items():
            digest.update(name.encode() + tensor.numpy().tobytes())
    if concept.adapter is not None:
        digest.update(concept.adapter.digest.encode())
    return digest.hexdigest()


def _stored_texts(file: Path, count: int) -> list[str] | None:
    try:
        texts = parse_json(read_inside(file.parent, file.name, MOST), file.name)
    except DamagedError:
        return None
    whole = isinstance(texts, list) and len(texts) == count and all(isinstance(each, str) for each in texts)
    return texts if whole else None


def _stored_rows(file: Path, count: int) -> Float[np.ndarray, "item ..."] | None:
    try:
        rows = parse_tensors(read_inside(file.parent, file.name, MOST_TENSORS), file.name)["rows"].numpy()
    except (DamagedError, KeyError, TypeError):
        return None
    return rows if rows.ndim and len(rows) == count else None
