"""Fitted topic models, kept on disk: an evaluation of something else need not fit them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from agent.errors import BasinError
from agent.hub.pinned_packages import cache_root, scratch_folder
from agent.pointer import lda
from agent.pointer.lda import TopicModel, TopicsConfig
from agent.types import Document


def fit_cached(documents: Sequence[Document], config: TopicsConfig, run_seed: int) -> TopicModel:
    """`topics.fit`, or what it gave for the same documents, settings, seed, code and gensim; raises as that.

    Raises:
        BasinError: the cache folder cannot be written, too.
    """
    if config.fit_on == "all":
        raise BasinError(
            "topics.fit_on: all is for runs, maps and `basin topics`, which read a corpus as a stream: leave it out."
        )
    path = cache_root() / "topics" / f"{_digest(documents, config, run_seed)}.safetensors"
    found = _read(path)
    if found is None:
        found = lda.fit(documents, config, run_seed)
        _write(path, found)
    return found


class KeptFits:
    """Fits of one topic model, each kept as soon as it is there; for `topics.fit`. A disk that refuses is no reason to stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, digest: str, fit: Callable[[Path], TopicModel]) -> TopicModel:
        path = self.folder / f"{digest}.safetensors"
        found = _read(path)
        if found is None:
            found = fit(self.folder / f"{digest}.state")
            draft = path.with_suffix(".tmp")
            with contextlib.suppress(OSError, SafetensorError):
                self.folder.mkdir(parents=True, exist_ok=True)
                _save(found, draft)
                draft.replace(path)
        return found


def _digest(documents: Sequence[Document], config: TopicsConfig, run_seed: int) -> str:
    """24 hex digits. Which topic is picked later, and by which words among restarts, is part of `config`."""
    parts = [config.model_dump(mode="json"), run_seed, version("gensim"), np.__version__]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8"))
    digest.update(Path(lda.__file__).read_bytes())
    for document in documents:
        digest.update(hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()[:24]


def _read(path: Path) -> TopicModel | None:
    """None where there is nothing, or nothing usable: it is fitted again then."""
    try:
        with safe_open(path, framework="numpy") as file:
            text = json.loads(file.metadata()["model"])
            counts, alpha = file.get_tensor("topic_word_counts"), file.get_tensor("alpha")
        model = TopicModel(tuple(text["vocabulary"]), counts, alpha, text["seed"], text["language"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    whole = counts.shape == (len(alpha), len(model.vocabulary)) and np.isfinite(counts).all()
    return model if whole else None


def _save(model: TopicModel, file: Path) -> None:
    arrays = {
        "topic_word_counts": np.ascontiguousarray(model.topic_word_counts),
        "alpha": np.ascontiguousarray(model.alpha),
    }
    text = json.dumps({"vocabulary": model.vocabulary, "seed": model.seed, "language": model.language})
    save_file(arrays, file, metadata={"model": text})


def _write(path: Path, model: TopicModel) -> None:
    try:
        with scratch_folder("topics") as scratch:
            _save(model, scratch / path.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            (scratch / path.name).replace(path)
    except (OSError, SafetensorError) as error:
        raise BasinError(
            f"A topic model cannot be kept in {path.parent} ({error}); make room there, or set BASIN_CACHE."
        ) from None
