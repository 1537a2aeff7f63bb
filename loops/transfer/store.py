"""Results of stitchings and matches, stored inside the run whose concept was carried over."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from agent.errors import BasinError, writing
from agent.files.checked import DamagedError, read_inside
from loops.checkpoint.atomic import MOST_TENSORS, inner_folder, write_file
from loops.checkpoint.schema import read_sealed, sealed
from loops.checkpoint.store import RunStore
from loops.transfer.match import Matched, rows, two_sides
from loops.transfer.stitch import Stitching

MATCHES, STITCHES = "matches", "stitches"
TABLE, VECTORS, SAMPLES, MATRIX = "stitch.json", "vectors.safetensors", "samples.json", "layers.json"


def save_match(found: Matched, store: RunStore) -> Path:
    """Write candidates and typical passages to `matches/`."""
    name = f"{_file_name(found.origin)}_to_{_file_name(found.into)}_round_{found.round:03d}.json"
    file, best = store.path / MATCHES / name, found.candidates[0]
    content = {
        "run": found.run,
        "round": found.round,
        "from": found.origin,
        "in": found.into,
        "generated": len(found.texts.generated),
        "compared": found.compared,
        "by_chance": best.chance,
        "z_score": best.z_score,
        "nothing": found.nothing,
        "candidates": rows(found),
        "sides": two_sides(found),
    }
    with writing(file, "make room there"):
        inner_folder(store.path, MATCHES)
        write_file(file, sealed(content))
    return file


def stitch_folder(store: RunStore, to: str, round_number: int) -> Path:
    """The folder of a stitching, inside the run."""
    return store.path / STITCHES / f"{_file_name(to)}_round_{round_number:03d}"


def save_stitch(found: Stitching, folder: Path) -> None:
    """Write rows, vectors, samples and the layer matrix."""
    maps, matrix = found.stitches, found.stitches.matrix
    about: dict[str, Any] = {
        "run": found.run,
        "round": found.round,
        "from": found.first,
        "to": found.second,
        "nats_per_token": found.nats,
        "tokens": maps.tokens,
        "partner": {str(layer): there for layer, there in maps.partner.items()},
        "concept_overlap": found.overlap,
        "rows": found.rows(),
    }
    samples = [
        {"model": each.model, "vector": each.name, "prompt": prompt, "text": text}
        | {"reading": float(reading) if np.isfinite(reading) else None, "coherent": bool(coherent)}
        for each in found.trials
        for prompt, text, reading, coherent in zip(
            found.prompts, each.texts, each.readings, each.coherent, strict=True
        )
    ]
    layers = {"first": matrix.first, "second": matrix.second}
    layers |= {name: getattr(matrix, name).tolist() for name in ("unexplained", "back", "svcca")}
    vectors = {
        f"{each.model}.{each.name}{f'.{draw}' if len(each.vectors) > 1 else ''}.{name}": tensor
        for each in found.trials
        for draw, vector in enumerate(each.vectors)
        for name, tensor in vector.tensors().items()
    }
    files = {SAMPLES: json.dumps(samples, indent=1).encode(), MATRIX: json.dumps(layers, indent=1).encode()}
    files[VECTORS] = safetensors.torch.save(vectors)
    # The table comes last and holds the digests of the others.
    about["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with writing(folder, "make room there"):
        inner_folder(folder.parents[1], folder.parent.name, folder.name)
        for name, content in (files | {TABLE: sealed(about)}).items():
            write_file(folder / name, content)


def saved_stitches(store: RunStore) -> list[tuple[Path, dict[str, Any]]]:
    """The folder and the table of every stored stitching."""
    found = []
    for file in sorted((store.path / STITCHES).glob(f"*/{TABLE}")):
        try:
            found.append((file.parent, read_sealed(store.path, file.relative_to(store.path).as_posix())))
        except DamagedError as damage:
            raise BasinError(f"{file} is damaged ({damage}); `basin stitch` writes it again.") from None
    return found


def check_stitch(folder: Path) -> None:
    """Raise `DamagedError` where a stitching's file differs from the digest in its table."""
    listed = read_sealed(folder, TABLE).get("files", {})
    if not isinstance(listed, dict) or not listed.keys() <= {SAMPLES, MATRIX, VECTORS}:
        raise DamagedError(f"{TABLE} names files that are none of a stitching's")
    for name, digest in listed.items():
        if hashlib.sha256(read_inside(folder, name, MOST_TENSORS)).hexdigest() != digest:
            raise DamagedError(f"{name} is not what was written")


def _file_name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.-]+", "_", name)
