"""Activations of real texts, kept on disk: they never change while the language model does not."""

from __future__ import annotations

import hashlib
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from agent.errors import BasinError
from agent.hub.pinned_packages import cache_root, scratch_folder, sweep
from agent.language_model.model import LanguageModel
from agent.language_model.token_batches import TokenBatch
from agent.progress import advance

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
logger = logging.getLogger(__name__)

CHUNK = 128
"""Texts per file: what is lost when recording is interrupted. A minute for a small model on two cores that lack bfloat16."""
SMALL = 250_000_000
"""Parameters up to which a model counts as small: larger ones get fewer texts a file."""
LARGEST_IN_MEMORY = 1 << 30
"""Bytes of activations from which they are memory-mapped."""


def record_cached(
    language_model: LanguageModel, texts: Sequence[str], *, also_for: LanguageModel | None = None
) -> Float[np.ndarray, "text layer width"]:
    """`language_model.record`, reading what the cache holds already and adding to it what it does not.

    Args:
        also_for: the same model, read at some of these layers: the texts are kept for it too, so that they are read once.

    Raises:
        BasinError: the model's activations are not finite, or the cache folder cannot be written.
    """
    shape = (len(language_model.layers), language_model.width)
    keep = _keeper(language_model, also_for) if also_for else None
    report = partial(advance, "record")
    size = texts_a_file(language_model)

    def tokenize(chunk: Sequence[str]) -> list[TokenBatch]:
        return list(language_model.batches(chunk))

    return _cached(
        texts, language_model.fingerprint, shape, language_model.record, report, keep, size, tokenize
    )


def texts_a_file(language_model: LanguageModel) -> int:
    """`CHUNK`, halved for as long as reading so much by a larger model would take minutes."""
    parameters = sum(weight.numel() for block in language_model.blocks for weight in block.parameters())
    size = CHUNK
    while size > 1 and size * parameters > CHUNK * SMALL:
        size //= 2
    return size


def is_recorded(language_model: LanguageModel, texts: Sequence[str]) -> bool:
    """Whether the cache has a file for all of these texts, which must be whole files of it."""
    chunks = _chunks(texts, texts_a_file(language_model))
    return all(
        _chunk_path(language_model.fingerprint, [texts[row] for row in rows]).exists() for rows in chunks
    )


def in_order(texts: Sequence[str]) -> list[str]:
    """The texts as they follow each other in files of the cache: any `CHUNK` of them from a multiple of it are whole files."""
    return sorted(texts, key=_place)


def _place(text: str) -> tuple[int, str]:
    """By length: texts of a chunk share their batches, so a chunk's numbers do not depend on the others."""
    return len(text), text


def keep_recorded(
    texts: Sequence[str], activations: Float[np.ndarray, "text layer width"], fingerprint: str, size: int
) -> None:
    """Put into the cache what another process, or another machine, made of whole files of it; raises as `record_cached`."""
    for rows in _chunks(texts, size):
        _keep_new(fingerprint, [texts[row] for row in rows], activations[rows])


def _keep_new(
    fingerprint: str, chunk: Sequence[str], activations: Float[np.ndarray, "text layer width"]
) -> None:
    path = _chunk_path(fingerprint, chunk)
    if not path.exists():
        _write(path, np.ascontiguousarray(activations))


def _keeper(
    language_model: LanguageModel, other: LanguageModel
) -> Callable[[Sequence[str], Float[np.ndarray, "text layer width"]], None]:
    """Keeps a chunk for another reading of the same model, at some of the layers."""
    columns = [language_model.layers.index(layer) for layer in other.layers]

    def keep(chunk: Sequence[str], activations: Float[np.ndarray, "text layer width"]) -> None:
        _keep_new(other.fingerprint, chunk, activations[:, columns])

    return keep


def embed_cached(
    embedder: SentenceTransformer, fingerprint: str, texts: Sequence[str]
) -> Float[np.ndarray, "text layer width"]:
    """Sentence embeddings as activations of a single layer, cached likewise under `fingerprint`; raises as above."""

    def embed(chunk: Sequence[str]) -> Float[np.ndarray, "text layer width"]:
        return embedder.encode(list(chunk), show_progress_bar=False)[:, None, :]

    shape = embed(["."]).shape[1:]  # the method that tells the width changed its name between versions
    return _cached(texts, fingerprint, shape, embed, partial(advance, "embed"))


def find_recorded(
    texts: Sequence[str], layers: int, width: int
) -> Iterator[Float[np.ndarray, "text layer width"]]:
    """Activations of all these texts that the cache holds whole, by whichever model: the model itself need not be at hand.

    Several models, or one at other layers, may have recorded them; the caller has to tell which is meant.
    """
    folder = cache_root() / "activations"
    fingerprints = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    sizes = [CHUNK >> halvings for halvings in range(CHUNK.bit_length())]
    for size, fingerprint in itertools.product(sizes, fingerprints):
        chunks = [(rows, [texts[row] for row in rows]) for rows in _chunks(texts, size)]
        result = _room((len(texts), layers, width)) if chunks else np.empty((0, layers, width), np.float32)
        for rows, chunk in chunks:
            found = _read(_chunk_path(fingerprint, chunk), (len(chunk), layers, width))
            if found is None:
                break
            result[rows] = found
        else:
            yield result


def _chunks(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Which texts lie in a file together, file by file."""
    order = sorted(range(len(texts)), key=lambda row: _place(texts[row]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _cached(
    texts: Sequence[str],
    fingerprint: str,
    shape: tuple[int, int],
    compute: Callable[..., Float[np.ndarray, "text layer width"]],
    report: Callable[[int, int], None],
    keep: Callable[[Sequence[str], Float[np.ndarray, "text layer width"]], None] | None = None,
    size: int | None = None,
    tokenize: Callable[[Sequence[str]], list[TokenBatch]] | None = None,
) -> Float[np.ndarray, "text layer width"]:
    sweep("activations")
    result = _room((len(texts), *shape))
    done = 0

    def prepare(rows: list[int]) -> _Prepared:
        chunk = [texts[row] for row in rows]
        path = _chunk_path(fingerprint, chunk)
        found = _read(path, (len(chunk), *shape))
        return _Prepared(rows, chunk, path, found, tokenize(chunk) if tokenize and found is None else None)

    for each in _one_ahead(_chunks(texts, size or CHUNK), prepare):
        rows, chunk, found = each.rows, each.chunk, each.found
        if found is None:
            found = compute(chunk) if each.batches is None else compute(chunk, batches=each.batches)
            _write(each.path, found)
        if keep is not None:
            keep(chunk, found)
        result[rows] = found
        done += len(rows)
        report(done, len(texts))
    return result


@dataclass(frozen=True)
class _Prepared:
    """A chunk that was looked up, and tokenized where it has to be computed."""

    rows: list[int]
    chunk: list[str]
    path: Path
    found: Float[np.ndarray, "text layer width"] | None
    batches: list[TokenBatch] | None


def _one_ahead(chunks: Iterator[list[int]], prepare: Callable[[list[int]], _Prepared]) -> Iterator[_Prepared]:
    """Prepare the next chunk on a thread while the caller computes this one: a GPU would wait for its tokens otherwise."""
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for rows in chunks:
            coming = thread.submit(prepare, rows)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def _room(shape: tuple[int, int, int]) -> Float[np.ndarray, "text layer width"]:
    """An array in memory, or where it would be large in a file without a name that goes when the array does."""
    if 4 * int(np.prod(shape)) <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    cache_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache_root()) as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _chunk_path(fingerprint: str, chunk: Sequence[str]) -> Path:
    digest = hashlib.sha256()
    for text in chunk:
        digest.update(hashlib.sha256(text.encode("utf-8")).digest())
    return cache_root() / "activations" / fingerprint / f"{digest.hexdigest()[:24]}.safetensors"


def _read(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "text layer width"] | None:
    """None where there is nothing, or nothing usable: it is recorded again then."""
    try:
        with safe_open(path, framework="numpy") as file:
            activations, told = file.get_tensor("activations"), (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError, KeyError):
        return None
    if told is not None and told != _digest(activations):  # files of before had no digest
        return None
    return activations if activations.shape == shape and np.isfinite(activations).all() else None


def _digest(activations: Float[np.ndarray, "text layer width"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(activations)).hexdigest()


def _write(path: Path, activations: Float[np.ndarray, "text layer width"]) -> None:
    try:
        with scratch_folder("activations") as scratch:
            save_file({"activations": activations}, scratch / path.name, {"sha256": _digest(activations)})
            path.parent.mkdir(parents=True, exist_ok=True)
            (scratch / path.name).replace(path)
    except (OSError, SafetensorError) as error:
        raise BasinError(
            f"Activations cannot be kept in {path.parent} ({error}); make room there, or set BASIN_CACHE."
        ) from None
