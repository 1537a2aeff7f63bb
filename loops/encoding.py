"""A round as files and back: JSON for what people read, safetensors for arrays, nothing that can run code.

Everything here is a pure function between records and bytes; `store.py` owns the disk. Two equal records give
the same bytes, and reading gives back equal records, floats to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors.torch
import torch

from agent.adapter import Adapter
from agent.concept import Concept, Readout
from agent.steering_manner import PLAIN, Gate, Manner
from agent.steering_vector import SteeringVector
from agent.topics import Pointer, TopicModel
from agent.tracking import Exchange
from agent.types import Document, Passage, PassageSet
from loops.records import Generated, RoundRecord

VECTOR = "vector."
GATE = "gate."
EXCHANGED = "exchanged.json"
ADAPTER = "adapter/"
"""A folder in PEFT's own layout inside the round's, for `PeftModel.from_pretrained`."""


def encode_round(record: RoundRecord) -> dict[str, bytes]:
    """The files of a round; see checkpoints/README.md for what is in which.

    Raises:
        ValueError: a metric is not a finite number (JSON has no way to write it).
    """
    concept, readout = record.concept, record.concept.readout
    arrays = {"membership": concept.membership, "single": concept.single, "pooled": concept.pooled}
    if concept.evidence is not None:
        arrays["evidence"] = concept.evidence
    if readout is not None:
        arrays["readout.weights"] = readout.weights
    if record.activations is not None:
        arrays["activations"] = record.activations
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    if concept.vector is not None:
        tensors |= {f"{VECTOR}{name}": tensor for name, tensor in concept.vector.tensors().items()}
    if concept.manner.gate is not None:
        tensors |= {f"{GATE}{name}": tensor for name, tensor in concept.manner.gate.tensors().items()}
    scalars = {
        "round": concept.round,
        "size": concept.size,
        "size_curve": concept.size_curve,
        "nats_per_token": concept.nats_per_token,
        "readout": readout and {name: value for name, value in vars(readout).items() if name != "weights"},
    }
    if not concept.manner.is_plain:
        gate = concept.manner.gate
        scalars["manner"] = {
            "norm_preserving": concept.manner.norm_preserving,
            "gate": gate and gate.numbers(),
        }
    files = {
        "round.json": _to_json(record.metrics),
        "concept.json": _to_json(scalars),
        "samples.json": _to_json([asdict(sample) for sample in record.generated]),
        "cost.json": _to_json(record.cost),
        "tensors.safetensors": _to_safetensors(tensors),
    }
    if record.exchange is not None:
        files[EXCHANGED] = _to_json(asdict(record.exchange))
    if concept.adapter is not None:
        files |= {f"{ADAPTER}{name}": content for name, content in concept.adapter.files().items()}
    return files


def decode_round(number: int, files: Mapping[str, bytes]) -> RoundRecord:
    """The record that `encode_round` wrote; older rounds have no exchange."""
    tensors = safetensors.torch.load(files["tensors.safetensors"])
    scalars = json.loads(files["concept.json"])
    readout, manner = scalars.pop("readout"), scalars.pop("manner", None)
    adapter = {
        name.removeprefix(ADAPTER): content for name, content in files.items() if name.startswith(ADAPTER)
    }
    vector = {name.removeprefix(VECTOR): value for name, value in tensors.items() if name.startswith(VECTOR)}
    concept = Concept(
        membership=tensors["membership"].numpy(),
        single=tensors["single"].numpy(),
        pooled=tensors["pooled"].numpy(),
        evidence=tensors["evidence"].numpy() if "evidence" in tensors else None,
        readout=readout and Readout(weights=tensors["readout.weights"].numpy(), **readout),
        vector=SteeringVector.from_tensors(vector) if vector else None,
        manner=_manner(manner, tensors) if manner else PLAIN,
        adapter=Adapter.from_files(adapter) if adapter else None,
        **{**scalars, "size_curve": tuple(map(tuple, scalars["size_curve"]))},
    )
    return RoundRecord(
        round=number,
        concept=concept,
        metrics=json.loads(files["round.json"]),
        generated=tuple(Generated(**sample) for sample in json.loads(files["samples.json"])),
        activations=tensors["activations"].numpy() if "activations" in tensors else None,
        cost=json.loads(files["cost.json"]),
        exchange=_exchange(json.loads(files[EXCHANGED])) if EXCHANGED in files else None,
    )


def _manner(tree: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Manner:
    gate = tree["gate"] and Gate(direction=tensors[f"{GATE}direction"], **tree["gate"])
    return Manner(tree["norm_preserving"], gate)


def _exchange(tree: Mapping[str, list[str]]) -> Exchange:
    return Exchange(**{name: tuple(ids) for name, ids in tree.items()})


def encode_pointer(pointer: Pointer) -> dict[str, bytes]:
    """The topic model and which of its topics is the pointer."""
    model = pointer.model
    arrays = {"topic_word_counts": model.topic_word_counts, "alpha": model.alpha}
    text = {"topic": pointer.topic, "seed": model.seed, "vocabulary": model.vocabulary}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return {"topic.json": _to_json(text), "topic.safetensors": _to_safetensors(tensors)}


def decode_pointer(files: Mapping[str, bytes]) -> Pointer:
    """The pointer that `encode_pointer` wrote."""
    text = json.loads(files["topic.json"])
    arrays = safetensors.torch.load(files["topic.safetensors"])
    model = TopicModel(
        vocabulary=tuple(text["vocabulary"]),
        topic_word_counts=arrays["topic_word_counts"].numpy(),
        alpha=arrays["alpha"].numpy(),
        seed=text["seed"],
    )
    return Pointer(model, text["topic"])


def encode_passages(passages: PassageSet) -> dict[str, bytes]:
    """Passages with their texts; of documents only what is shown: their texts would be there twice."""
    tree = {
        "documents": [
            {"id": document.id, "title": document.title, "author": document.author}
            for document in passages.documents
        ],
        "passages": [asdict(passage) for passage in passages.passages],
        "dropped": passages.dropped,
    }
    return {"passages.json": _to_json(tree)}


def decode_passages(files: Mapping[str, bytes]) -> PassageSet:
    """The passages that `encode_passages` wrote; the text of every document is empty."""
    tree = json.loads(files["passages.json"])
    return PassageSet(
        documents=tuple(Document(text="", **document) for document in tree["documents"]),
        passages=tuple(Passage(**passage) for passage in tree["passages"]),
        dropped=tree["dropped"],
    )


def _to_json(tree: Any) -> bytes:
    """Sorted keys, floats by `repr` (which reads back exactly), no NaN, one final newline."""
    text = json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)
    return (text + "\n").encode("utf-8", errors="surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be stored as JSON")


def _to_safetensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: tensor.contiguous().clone() for name, tensor in sorted(tensors.items())}
    )
