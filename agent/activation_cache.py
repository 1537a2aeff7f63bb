"""Activations of real texts, kept on disk: they never change while the language model does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agent.errors import BasinError
from agent.language_model import LanguageModel
from agent.sources.packages import cache_root, scratch_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CHUNK = 128
"""Texts per file: what is lost when recording is interrupted."""


def record_cached(
    language_model: LanguageModel, texts: Sequence[str], progress: Callable[[str], None] | None = None
) -> Float[np.ndarray, "text layer width"]:
    """`language_model.record`, reading what the cache holds already and adding to it what it does not.

    Raises:
        BasinError: the model's activations are not finite, or the cache folder cannot be written.
    """
    shape = (len(language_model.layers), language_model.width)
    return _cached(texts, language_model.fingerprint, shape, language_model.record, progress)


def embed_cached(
    embedder: SentenceTransformer,
    fingerprint: str,
    texts: Sequence[str],
    progress: Callable[[str], None] | None = None,
) -> Float[np.ndarray, "text layer width"]:
    """Sentence embeddings as activations of a single layer, cached likewise under `fingerprint`; raises as above."""

    def embed(chunk: Sequence[str]) -> Float[np.ndarray, "text layer width"]:
        return embedder.encode(list(chunk), show_progress_bar=False)[:, None, :]

    shape = embed(["."]).shape[1:]  # the method that tells the width changed its name between versions
    return _cached(texts, fingerprint, shape, embed, progress)


def _cached(
    texts: Sequence[str],
    fingerprint: str,
    shape: tuple[int, int],
    compute: Callable[[Sequence[str]], Float[np.ndarray, "text layer width"]],
    progress: Callable[[str], None] | None,
) -> Float[np.ndarray, "text layer width"]:
    result = np.empty((len(texts), *shape), dtype=np.float32)
    # By length: texts of a chunk share their batches, so a chunk's numbers do not depend on the others.
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        chunk = [texts[row] for row in rows]
        path = _chunk_path(fingerprint, chunk)
        found = _read(path, (len(chunk), *shape))
        if found is None:
            found = compute(chunk)
            _write(path, found)
        result[rows] = found
        if progress:
            progress(f"record: {min(start + CHUNK, len(order))} of {len(order)} texts")
    return result


def _chunk_path(fingerprint: str, chunk: Sequence[str]) -> Path:
    digest = hashlib.sha256()
    for text in chunk:
        digest.update(hashlib.sha256(text.encode("utf-8")).digest())
    return cache_root() / "activations" / fingerprint / f"{digest.hexdigest()[:24]}.safetensors"


def _read(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "text layer width"] | None:
    """None where there is nothing, or nothing usable: it is recorded again then."""
    try:
        activations = load_file(path)["activations"]
    except (OSError, SafetensorError, KeyError):
        return None
    return activations if activations.shape == shape and np.isfinite(activations).all() else None


def _write(path: Path, activations: Float[np.ndarray, "text layer width"]) -> None:
    try:
        with scratch_folder("activations") as scratch:
            save_file({"activations": activations}, scratch / path.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            (scratch / path.name).replace(path)
    except (OSError, SafetensorError) as error:
        raise BasinError(
            f"Activations cannot be kept in {path.parent} ({error}); make room there, or set BASIN_CACHE."
        ) from None
