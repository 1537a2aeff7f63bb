"""Fitted topic models on disk, so that a later evaluation or a resumed run need not fit them again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from agent.errors import BasinError
from agent.hub.pinned_packages import cache_root, scratch_folder
from agent.pointer import lda
from agent.pointer.topic_model import TopicModel, TopicsConfig
from agent.types import Document

logger = logging.getLogger(__name__)


def fit_cached(documents: Sequence[Document], config: TopicsConfig, run_seed: int) -> TopicModel:
    """`lda.fit`, or its cached result for the same documents, settings, seed, code and gensim.

    Raises:
        BasinError: as `lda.fit`; or the cache folder cannot be written.
    """
    if config.fit_on == "all":
        raise BasinError(
            "topics.fit_on: all is for runs, maps and `basin topics`, which read a corpus as a stream: leave it out."
        )
    path = cache_root() / "topics" / f"{_digest(documents, config, run_seed)}.safetensors"
    found = _read(path)
    if found is None:
        found = lda.fit(documents, config, run_seed)
        with scratch_folder("topics") as scratch:
            _save(found, scratch / path.name)
            (scratch / path.name).replace(path)
    return found


class FitCache:
    """Finished fits of one run in a folder; a fit that was killed starts again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, digest: str, fit: Callable[[], TopicModel]) -> TopicModel:
        path = self.folder / f"{digest}.safetensors"
        found = _read(path)
        if found is None:
            found = fit()
            draft = path.with_suffix(".tmp")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                _save(found, draft)
                draft.replace(path)
            except (OSError, SafetensorError) as error:
                logger.warning(f"A fitted topic model is not cached, since {self.folder} refuses it: {error}")
        return found


def _digest(documents: Sequence[Document], config: TopicsConfig, run_seed: int) -> str:
    """24 hex digits. `config` includes how a topic is picked, which decides among restarts."""
    parts = [config.model_dump(mode="json"), run_seed, version("gensim"), np.__version__]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8"))
    digest.update(Path(lda.__file__).read_bytes())
    for document in documents:
        digest.update(hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()[:24]


def _read(path: Path) -> TopicModel | None:
    """None where there is no usable file."""
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
