"""A steering vector as a control vector of llama.cpp and repeng: one GGUF file, and back.

Both name a direction after the block whose output it is added to, counted from 0: `direction.11` is added to what block 11
hands on. We count blocks that the stream has gone through: that is layer 12. llama.cpp has no `direction.0`, and we steer
nothing after the last block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from agent.errors import BasinError, first_sentence
from agent.gguf_header import MAGIC, check_header, write_out
from agent.sources.bounded import read_whole
from agent.steering_manner import Manner
from agent.steering_vector import SteeringVector

ARCHITECTURE = "controlvector"
DIRECTION = re.compile(r"direction\.(\d{1,4})")
MOST_BYTES = 1 << 28
"""A control vector is one row a layer: even the largest models' have some megabytes."""


@dataclass(frozen=True)
class ControlVector:
    """What a file of directions says."""

    vector: SteeringVector
    model_hint: str
    """The architecture it was made for, as transformers calls it (`llama`); empty where the file does not say."""


def write_control_vector(
    path: Path,
    vector: SteeringVector,
    model_hint: str,
    manner: Manner,
    about: Mapping[str, str | float | int] = {},
) -> None:
    """Write a vector that is simply added.

    Args:
        path: where to; replaced where it is there.
        model_hint: the model's architecture, as transformers calls it; repeng compares it.
        manner: how the vector is meant to be applied.
        about: what else is to be said in the file's metadata, under `basin.`.

    Raises:
        BasinError: it is not simply added, or steers where llama.cpp cannot.
    """
    import gguf

    if not manner.is_plain:
        how = "spends less where the text is inside" if manner.gate else "keeps the stream's length"
        raise BasinError(
            f"This vector {how}, and a control vector is simply added: export it to safetensors, which says how it is applied."
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
    """The directions of a file that llama.cpp or repeng wrote, under our layers.

    Raises:
        BasinError: there is no such file, it is not a control vector, or its directions cannot be meant.
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
    except Exception as error:  # whatever a damaged header leads the reader to
        raise BasinError(f"{path} cannot be read ({first_sentence(error)}): make the file again.") from None
    return tensors, hint if isinstance(hint, str) else ""
