"""Evidence of a stitching on disk, inside the run that was carried over."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from agent.errors import BasinError
from agent.files.checked import DamagedError, read_inside
from loops.checkpoint.atomic import MOST_TENSORS, inner_folder, write_file
from loops.checkpoint.schema import read_sealed, sealed
from loops.checkpoint.store import RunStore
from loops.transfer.stitch import Stitched

STITCHES, TABLE, VECTORS, SAMPLES, MATRIX = (
    "stitches",
    "stitch.json",
    "vectors.safetensors",
    "samples.json",
    "layers.json",
)


def stitch_folder(store: RunStore, to: str, round_number: int) -> Path:
    """Where the evidence of a pair is kept, inside the run."""
    return store.path / STITCHES / f"{re.sub(r'[^a-zA-Z0-9.-]+', '_', to)}_round_{round_number:03d}"


def save_stitch(found: Stitched, folder: Path) -> None:
    """Rows, translated vectors, samples and the layer matrix, each file whole.

    Raises `BasinError` where they cannot be written.
    """
    matrix, maps = found.stitches.matrix, found.stitches
    about = {
        "run": found.run,
        "round": found.round,
        "from": found.first,
        "to": found.second,
        "nats_per_token": found.nats,
        "tokens": next(iter(maps.gathered.values())).tokens,
        "partner": {str(layer): there for layer, there in maps.partner.items()},
        "notion_overlap": found.notion_overlap,
        "rows": found.rows(),
    }
    samples = [
        {"model": each.model, "vector": each.name, "prompt": prompt, "text": text}
        | {"reading": _plain(reading), "coherent": bool(coherent)}
        for each in found.pushed
        for prompt, text, reading, coherent in zip(
            found.prompts, each.texts, each.readings, each.coherent, strict=True
        )
    ]
    layers = {
        "first": matrix.first,
        "second": matrix.second,
        **{name: getattr(matrix, name).tolist() for name in ("unexplained", "back", "svcca")},
    }
    vectors = {
        f"{each.model}.{each.name}{f'.{draw}' if len(each.vectors) > 1 else ''}.{name}": tensor
        for each in found.pushed
        for draw, vector in enumerate(each.vectors)
        for name, tensor in vector.tensors().items()
    }
    files = {
        name: json.dumps(content, indent=1).encode()
        for name, content in ((SAMPLES, samples), (MATRIX, layers))
    }
    files[VECTORS] = safetensors.torch.save(vectors)
    # The table last, and it covers the others.
    about["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[TABLE] = sealed(about)
    try:
        inner_folder(folder.parents[1], folder.parent.name, folder.name)
        for name, content in files.items():
            write_file(folder / name, content)
    except OSError as error:
        raise BasinError(
            f"{folder} cannot be written ({error.strerror or error}); make room there."
        ) from None


def saved_stitches(store: RunStore) -> list[tuple[Path, dict[str, Any]]]:
    """Every stitching of a run that was saved, by folder."""
    found = []
    for file in sorted((store.path / STITCHES).glob(f"*/{TABLE}")):
        try:
            found.append((file.parent, read_sealed(store.path, file.relative_to(store.path).as_posix())))
        except DamagedError as damage:
            raise BasinError(f"{file} is damaged ({damage}); `basin stitch` writes it again.") from None
    return found


def check_stitch(folder: Path) -> None:
    """Hold a stitching's files against its table; raises `DamagedError` for the first that is not what was written.

    Before format 5 the table named none.
    """
    listed = read_sealed(folder, TABLE).get("files", {})
    if not isinstance(listed, dict) or not listed.keys() <= {SAMPLES, MATRIX, VECTORS}:
        raise DamagedError(f"{TABLE} names files that are none of a stitching's")
    for name, digest in listed.items():
        if hashlib.sha256(read_inside(folder, name, MOST_TENSORS)).hexdigest() != digest:
            raise DamagedError(f"{name} is not what was written")


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
