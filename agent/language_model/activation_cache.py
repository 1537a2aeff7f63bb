"""Activations of texts on disk, by model and layers: they never change while the model does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from agent.hub.pinned_packages import cache_root, scratch_folder, sweep
from agent.language_model.model import LanguageModel
from agent.language_model.token_batches import TokenBatch
from agent.progress import advance

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CHUNK = 128
"""Texts per file, lost if recording is interrupted; about a minute of a small model on a CPU."""
SMALL = 250_000_000
"""Parameters above which a file has fewer texts."""
LARGEST_IN_MEMORY = 1 << 30
"""Bytes of activations from which they are memory-mapped."""


@dataclass(frozen=True)
class _Source:
    """A model or embedder whose results are cached."""

    name: str
    """Of its progress."""
    fingerprint: str
    shape: tuple[int, int]
    size: int
    """Texts per file."""
    compute: Callable[..., Float[np.ndarray, "text layer width"]]
    tokenize: Callable[[Sequence[str]], list[TokenBatch]] | None = None
    keep: Callable[[Sequence[str], Float[np.ndarray, "text layer width"]], None] | None = None
    """Called with every chunk of texts and its activations."""


def record_cached(
    language_model: LanguageModel, texts: Sequence[str], *, also_for: LanguageModel | None = None
) -> Float[np.ndarray, "text layer width"]:
    """`language_model.record` by way of the cache.

    Args:
        also_for: the same model at some of these layers, whose cache is filled as well.

    Raises:
        BasinError: the activations are not finite, or the cache folder cannot be written.
    """

    def keep_columns(chunk: Sequence[str], activations: Float[np.ndarray, "text layer width"]) -> None:
        assert also_for is not None
        columns = [language_model.layers.index(layer) for layer in also_for.layers]
        _keep_new(also_for.fingerprint, chunk, activations[:, columns])

    return _cached(
        texts,
        _Source(
            "record",
            language_model.fingerprint,
            (len(language_model.layers), language_model.width),
            texts_a_file(language_model),
            language_model.record,
            tokenize=lambda chunk: list(language_model.batches(chunk)),
            keep=keep_columns if also_for else None,
        ),
    )


def embed_cached(
    embedder: SentenceTransformer, fingerprint: str, texts: Sequence[str]
) -> Float[np.ndarray, "text layer width"]:
    """Sentence embeddings as activations of one layer, cached likewise."""

    def embed(chunk: Sequence[str]) -> Float[np.ndarray, "text layer width"]:
        found: np.ndarray = embedder.encode(list(chunk), show_progress_bar=False)
        return found[:, None, :]

    width = embed(["."]).shape[2]  # the method for it changed its name between versions
    return _cached(texts, _Source("embed", fingerprint, (1, width), CHUNK, embed))


def texts_a_file(language_model: LanguageModel) -> int:
    """`CHUNK`, halved until a larger model records a file in about a minute."""
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
    """The texts in the order of the files, `CHUNK` to a file."""
    return sorted(texts, key=_order)


def keep_recorded(
    texts: Sequence[str], activations: Float[np.ndarray, "text layer width"], fingerprint: str, size: int
) -> None:
    """Put activations that another process recorded into the cache, in whole files."""
    for rows in _chunks(texts, size):
        _keep_new(fingerprint, [texts[row] for row in rows], activations[rows])


def _order(text: str) -> tuple[int, str]:
    """By length, so that the batches of a chunk are independent of other chunks."""
    return len(text), text


def _chunks(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Indices of the texts of each file."""
    order = sorted(range(len(texts)), key=lambda row: _order(texts[row]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@dataclass(frozen=True)
class _Prepared:
    """A chunk that was looked up, and tokenized if it has to be computed."""

    rows: list[int]
    chunk: list[str]
    path: Path
    found: Float[np.ndarray, "text layer width"] | None
    batches: list[TokenBatch] | None


def _cached(texts: Sequence[str], source: _Source) -> Float[np.ndarray, "text layer width"]:
    sweep("activations")
    result = _room((len(texts), *source.shape))
    done = 0

    def prepare(rows: list[int]) -> _Prepared:
        chunk = [texts[row] for row in rows]
        path = _chunk_path(source.fingerprint, chunk)
        found = _read(path, (len(chunk), *source.shape))
        batches = source.tokenize(chunk) if source.tokenize and found is None else None
        return _Prepared(rows, chunk, path, found, batches)

    for each in _one_ahead(_chunks(texts, source.size), prepare):
        found = each.found
        if found is None:
            options = {} if each.batches is None else {"batches": each.batches}
            found = source.compute(each.chunk, **options)
            _write(each.path, found)
        if source.keep is not None:
            source.keep(each.chunk, found)
        result[each.rows] = found
        done += len(each.rows)
        advance(source.name, done, len(texts), "texts")
    return result


def _one_ahead(chunks: Iterator[list[int]], prepare: Callable[[list[int]], _Prepared]) -> Iterator[_Prepared]:
    """Prepare the next chunk on a thread, so that a GPU does not wait for tokens."""
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
    """An array in memory, or if large in a nameless file that goes with the array."""
    if 4 * int(np.prod(shape)) <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    cache_root().mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=cache_root()) as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _chunk_path(fingerprint: str, chunk: Sequence[str]) -> Path:
    digest = hashlib.sha256()
    for text in chunk:
        digest.update(hashlib.sha256(text.encode("utf-8")).digest())
    return cache_root() / "activations" / fingerprint / f"{digest.hexdigest()[:24]}.safetensors"


def _read(path: Path, shape: tuple[int, ...]) -> Float[np.ndarray, "text layer width"] | None:
    """The activations of a file; None if it is missing or damaged, so that it is recorded again."""
    try:
        with safe_open(path, framework="numpy") as file:
            activations: np.ndarray = file.get_tensor("activations")
            digest = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError, KeyError):
        return None
    if digest not in (None, _digest(activations)):
        return None
    return activations if activations.shape == shape and np.isfinite(activations).all() else None


def _digest(activations: Float[np.ndarray, "text layer width"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(activations).data).hexdigest()


def _keep_new(
    fingerprint: str, chunk: Sequence[str], activations: Float[np.ndarray, "text layer width"]
) -> None:
    path = _chunk_path(fingerprint, chunk)
    if not path.exists():
        _write(path, np.ascontiguousarray(activations))


def _write(path: Path, activations: Float[np.ndarray, "text layer width"]) -> None:
    with scratch_folder("activations") as scratch:
        save_file({"activations": activations}, scratch / path.name, {"sha256": _digest(activations)})
        path.parent.mkdir(parents=True, exist_ok=True)
        (scratch / path.name).replace(path)
