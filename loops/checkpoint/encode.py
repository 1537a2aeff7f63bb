"""A round as files: JSON for numbers and texts, safetensors for arrays, nothing that can run code.

Pure functions from records to bytes; `decode.py` is the inverse, `store.py` writes. Equal records
give equal bytes, and floats are read back exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors.torch
import torch

from agent.corpora.words import ENGLISH
from agent.pointer.topic_model import Pointer
from agent.types import PassageSet
from loops.records import RoundRecord

VECTOR = "vector."
ADAPTER = "adapter/"
"""A folder in PEFT's layout, for `PeftModel.from_pretrained`."""
READOUT = ("weights", "embedding")  # arrays of a readout


def encode_round(record: RoundRecord) -> dict[str, bytes]:
    """The files of a round; checkpoints/README.md describes them.

    Raises:
        ValueError: a metric is not finite, which JSON cannot store.
    """
    concept, readout = record.concept, record.concept.readout
    tensors = _tensors(
        membership=concept.membership,
        single=concept.single,
        pooled=concept.pooled,
        evidence=concept.evidence,
        activations=record.activations,
        **{f"readout.{name}": getattr(readout, name, None) for name in READOUT},
    )
    if concept.vector is not None:
        tensors |= {f"{VECTOR}{name}": tensor for name, tensor in concept.vector.tensors().items()}
    scalars = {
        "round": concept.round,
        "size": concept.size,
        "nats_per_token": concept.nats_per_token,
        "readout": readout and {name: value for name, value in vars(readout).items() if name not in READOUT},
    }
    files = {
        "round.json": _to_json(record.metrics),
        "concept.json": _to_json(scalars),
        "samples.json": _to_json([asdict(sample) for sample in record.generated]),
        "cost.json": _to_json(record.cost),
        "tensors.safetensors": _to_safetensors(tensors),
    }
    if concept.adapter is not None:
        files |= {f"{ADAPTER}{name}": content for name, content in concept.adapter.files().items()}
    return files


def encode_pointer(pointer: Pointer) -> dict[str, bytes]:
    """The topic model, and the topic that is the pointer."""
    model = pointer.model
    text = {"topic": pointer.topic, "seed": model.seed, "vocabulary": model.vocabulary}
    if model.language != ENGLISH:
        text["language"] = model.language
    tensors = _tensors(topic_word_counts=model.topic_word_counts, alpha=model.alpha)
    return {"topic.json": _to_json(text), "topic.safetensors": _to_safetensors(tensors)}


def encode_passages(passages: PassageSet) -> dict[str, bytes]:
    """Passages with their texts, and documents without, since passages hold the same text."""
    tree = {
        "documents": [
            {"id": document.id, "title": document.title, "author": document.author}
            for document in passages.documents
        ],
        "passages": [asdict(passage) for passage in passages.passages],
        "dropped": passages.dropped,
    }
    return {"passages.json": _to_json(tree)}


def _to_json(tree: Any) -> bytes:
    """Sorted keys, exact floats, no NaN, one final newline."""
    text = json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)
    return (text + "\n").encode("utf-8", errors="surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be stored as JSON")


def _tensors(**arrays: np.ndarray | None) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
        if array is not None
    }


def _to_safetensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    content: bytes = safetensors.torch.save(
        {name: tensor.contiguous().clone() for name, tensor in sorted(tensors.items())}
    )
    return content
