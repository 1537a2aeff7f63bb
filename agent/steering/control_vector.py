"""Control vectors of llama.cpp and repeng: steering vectors as GGUF files.

Both name a direction after the block whose output it is added to, from 0: `direction.11` belongs to
our layer 12, the stream after twelve blocks. llama.cpp has no `direction.0`, and Basin steers
nothing after the last block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agent.errors import BasinError, first_sentence
from agent.files.bounded import read_whole
from agent.steering.vector import SteeringVector

if TYPE_CHECKING:
    import gguf

ARCHITECTURE = "controlvector"
DIRECTION = re.compile(r"direction\.(\d{1,4})")
MOST_BYTES = 1 << 28
"""A control vector is one row per layer, a few megabytes for the largest models."""
MOST_VALUES = 100_000
"""Values of a header; a control vector has a few per layer."""


def write_control_vector(
    path: Path, vector: SteeringVector, model_hint: str, about: Mapping[str, str | float | int] = {}
) -> None:
    """Write a vector.

    Args:
        path: replaced if it exists.
        model_hint: the model's architecture, as transformers calls it; repeng compares it.
        about: further metadata, under `basin.`.

    Raises:
        BasinError: llama.cpp cannot steer such a layer.
    """
    import gguf

    if 1 in vector.layers:
        raise BasinError(
            "This vector steers after the first block, where llama.cpp has no direction: export it to safetensors, or run with "
            "other updating.layers."
        )
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", model_hint)
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(vector.layers))
    for key, value in about.items():
        writer.add_string(f"basin.{key}", str(value))
    for layer, direction in vector.directions.items():
        # llama.cpp takes float32 alone.
        writer.add_tensor(f"direction.{layer - 1}", direction.detach().numpy().astype(np.float32))
    write_out(writer)


def write_out(writer: Any) -> None:
    """Write a `GGUFWriter`'s content and close its file."""
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def read_control_vector(path: Path) -> SteeringVector:
    """Read a file of llama.cpp or repeng, with Basin's layer numbers.

    Raises `BasinError` if there is no such file, it is not a control vector, or a direction is
    invalid.
    """
    if not path.is_file():
        raise BasinError(f"There is no control vector at {path}: check the path.")
    if read_whole(path, MOST_BYTES, "is it a model? Name a file of directions")[:4] != b"GGUF":
        raise BasinError(f"{path} is no GGUF file: name one that llama.cpp or repeng wrote.")
    try:
        tensors = {tensor.name: np.array(tensor.data) for tensor in _bounded_reader(path).tensors}
    except Exception as error:  # the library raises anything on a damaged header
        raise BasinError(f"{path} cannot be read ({first_sentence(error)}): make the file again.") from None
    directions: dict[int, torch.Tensor] = {}
    for name, data in tensors.items():
        if match := DIRECTION.fullmatch(name):
            row = data.astype(np.float32)
            if data.dtype not in (np.float32, np.float16) or row.ndim != 1 or not np.isfinite(row).all():
                raise BasinError(
                    f"{path} has a {name} that is no row of finite numbers: make the file again."
                )
            directions[int(match[1]) + 1] = torch.from_numpy(row)
    if not directions:
        raise BasinError(
            f"{path} has no direction.1 or the like, so it is no control vector: name another file."
        )
    return SteeringVector(directions)


def _bounded_reader(path: Path) -> gguf.GGUFReader:
    """A reader that stops at the end of the file, and after `MOST_VALUES` values.

    The library itself allocates what a header claims.
    """
    import gguf

    class BoundedReader(gguf.GGUFReader):
        values = 0

        def _get(self, offset: Any, dtype: Any, count: Any = 1, override_order: Any = None) -> Any:
            self.values += 1
            if self.values > MOST_VALUES:
                raise ValueError("its header has too many values")
            if int(offset) + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError("it is cut off")
            return super()._get(offset, dtype, count, override_order)

    return BoundedReader(path)
