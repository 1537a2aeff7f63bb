"""Control vectors of llama.cpp and repeng: steering vectors as GGUF files.

Both name a direction after the block whose output it is added to, from 0: `direction.11` belongs to
our layer 12, the stream after twelve blocks. llama.cpp has no `direction.0`, and Basin steers
nothing after the last block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agent.errors import BasinError, first_sentence
from agent.files.bounded import read_whole
from agent.steering.gate import SteeringMode
from agent.steering.vector import SteeringVector

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type's number; 8 is a text, 9 a list."""
TEXT, LIST = 8, 9
MOST_FIELDS, MOST_TENSORS, MOST_ENTRIES, MOST_AXES = 1000, 2000, 100_000, 4


def check_header(content: bytes) -> None:
    """Raise `ValueError` for a header that is cut off, or claims more than a control vector needs.

    The `gguf` library allocates what a header claims, so a malicious file must not reach it.
    """
    walk = _Walk(content)
    if content[:4] != MAGIC or walk.number(4) not in VERSIONS:
        raise ValueError("it has no GGUF header of a known version")
    tensors, fields = walk.count(MOST_TENSORS), walk.count(MOST_FIELDS)
    for _ in range(fields):
        walk.text()
        walk.value(walk.number(4))
    for _ in range(tensors):
        walk.text()
        axes = walk.number(4)
        if axes > MOST_AXES:
            raise ValueError("a tensor has too many axes")
        walk.skip(8 * axes + 4 + 8)


def write_out(writer: Any) -> None:
    """Write a `GGUFWriter`'s content and close its file."""
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


class _Walk:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, len(MAGIC)

    def skip(self, count: int) -> bytes:
        part = self.content[self.at : self.at + count]
        if len(part) < count:
            raise ValueError("its header is cut off")
        self.at += count
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.skip(size), "little")

    def count(self, most: int) -> int:
        found = self.number(8)
        if found > most:
            raise ValueError(f"its header claims {found} entries")
        return found

    def text(self) -> None:
        self.skip(self.count(len(self.content)))

    def value(self, kind: int, nested: bool = False) -> None:
        if kind in SIZES:
            self.skip(SIZES[kind])
        elif kind == TEXT:
            self.text()
        elif kind == LIST and not nested:
            inner = self.number(4)
            for _ in range(self.count(MOST_ENTRIES)):
                self.value(inner, nested=True)
        else:
            raise ValueError("its header has a value of an unknown type")


ARCHITECTURE = "controlvector"
DIRECTION = re.compile(r"direction\.(\d{1,4})")
MOST_BYTES = 1 << 28
"""A control vector is one row per layer, a few megabytes for the largest models."""


@dataclass(frozen=True)
class ControlVector:
    """Content of a control vector file."""

    vector: SteeringVector
    model_hint: str
    """The architecture, as transformers calls it (`llama`), or empty."""


def write_control_vector(
    path: Path,
    vector: SteeringVector,
    model_hint: str,
    mode: SteeringMode,
    about: Mapping[str, str | float | int] = {},
) -> None:
    """Write a vector of plain addition.

    Args:
        path: replaced if it exists.
        model_hint: the model's architecture, as transformers calls it; repeng compares it.
        mode: how the vector is applied.
        about: further metadata, under `basin.`.

    Raises:
        BasinError: the mode is not plain addition, or llama.cpp cannot steer such a layer.
    """
    import gguf

    if not mode.is_plain:
        how = "is gated by the text" if mode.gate else "keeps the stream's length"
        raise BasinError(
            f"This vector {how}, but a control vector is plainly added: export it to safetensors, which stores its mode."
        )
    if 1 in vector.layers:
        raise BasinError(
            "This vector steers after the first block, where llama.cpp has no direction: export it to safetensors, or run with "
            "other updating.layers."
        )
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", model_hint)
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(vector.layers))
    for key, value in about.items():
        if isinstance(value, str):
            writer.add_string(f"basin.{key}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"basin.{key}", value)
        else:
            writer.add_float32(f"basin.{key}", value)
    for layer, direction in vector.directions.items():
        # llama.cpp takes float32 alone.
        writer.add_tensor(f"direction.{layer - 1}", direction.detach().numpy().astype(np.float32))
    write_out(writer)


def read_control_vector(path: Path) -> ControlVector:
    """Read a file of llama.cpp or repeng, with Basin's layer numbers.

    Raises `BasinError` if there is no such file, it is not a control vector, or a direction is
    invalid.
    """
    tensors, hint = _read(path)
    directions: dict[int, torch.Tensor] = {}
    for name, data in tensors:
        match = DIRECTION.fullmatch(name)
        if match is None:
            continue
        row = np.array(data, dtype=np.float32)
        if data.dtype not in (np.float32, np.float16) or row.ndim != 1 or not np.isfinite(row).all():
            raise BasinError(f"{path} has a {name} that is no row of finite numbers: make the file again.")
        directions[int(match[1]) + 1] = torch.from_numpy(row)
    if not directions:
        raise BasinError(
            f"{path} has no direction.1 or the like, so it is no control vector: name another file."
        )
    return ControlVector(SteeringVector(directions), hint)


def _read(path: Path) -> tuple[list[tuple[str, np.ndarray]], str]:
    import gguf

    if not path.is_file():
        raise BasinError(f"There is no control vector at {path}: check the path.")
    content = read_whole(path, MOST_BYTES, "is it a model? Name a file of directions")
    if content[:4] != MAGIC:
        raise BasinError(f"{path} is no GGUF file: name one that llama.cpp or repeng wrote.")
    try:
        check_header(content)
        reader = gguf.GGUFReader(path)
        field = reader.get_field(f"{ARCHITECTURE}.model_hint")
        hint = field.contents() if field else ""
        tensors = [(tensor.name, np.array(tensor.data)) for tensor in reader.tensors]
    except Exception as error:  # the library raises anything on a damaged header
        raise BasinError(f"{path} cannot be read ({first_sentence(error)}): make the file again.") from None
    return tensors, hint if isinstance(hint, str) else ""
