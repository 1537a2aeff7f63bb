"""Files as a round, each value checked alone and against the others.

Hashes have been checked before, but a forger can fit them. All functions raise `DamagedError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agent.concept import Concept, Readout
from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, parse_tensors
from agent.language_model.adapter import Adapter
from agent.pointer.topic_model import Pointer, TopicModel
from agent.steering.vector import SteeringVector
from agent.types import Document, Passage, PassageSet
from loops.checkpoint import fields
from loops.checkpoint.encode import ADAPTER, VECTOR
from loops.records import Generated, Metrics, RoundRecord

Arrays = dict[str, np.ndarray]

TENSORS = "tensors.safetensors"
PER_PASSAGE = ("membership", "single", "pooled")
FILES = {"round.json", "concept.json", "samples.json", "cost.json", TENSORS}
FILES |= {f"{ADAPTER}{name}" for name in Adapter.FILES}
FIRST_FILES = FILES | {"topic.json", "topic.safetensors", "passages.json", "config.json"}


def decode_round(number: int, files: Mapping[str, bytes], *, passages: int | None = None) -> RoundRecord:
    """The record that `encode_round` wrote.

    Args:
        passages: how many the run has, if known.
    """
    arrays = _arrays(files, TENSORS)
    concept = _concept(number, files, arrays, passages)
    rows = fields.read(list[fields.StoredSample], _json(files, "samples.json"), "samples.json")
    activations = _pop(arrays, "activations", 3)
    if activations is not None and len(activations) != len(rows):
        raise DamagedError(
            f"{TENSORS} has activations of {len(activations)} texts, and samples.json has {len(rows)}"
        )
    if arrays:
        raise DamagedError(f"{TENSORS} has {min(arrays)[:80]!r}, which is unknown")
    if unknown := files.keys() - (FILES if number else FIRST_FILES):
        raise DamagedError(f"its manifest names {min(unknown)[:80]!r}, which is unknown")
    record = RoundRecord(
        number,
        concept,
        _metrics(number, files),
        tuple(Generated(**vars(row)) for row in rows),
        activations,
        fields.read(dict[str, fields.NotNegative], _json(files, "cost.json"), "cost.json"),
    )
    _check_widths(record)
    return record


def decode_pointer(files: Mapping[str, bytes]) -> Pointer:
    """The pointer that `encode_pointer` wrote."""
    text = fields.read(fields.StoredTopic, _json(files, "topic.json"), "topic.json")
    arrays = _arrays(files, "topic.safetensors")
    counts, alpha = _pop(arrays, "topic_word_counts", 2), _pop(arrays, "alpha", 1)
    if counts is None or alpha is None or arrays:
        raise DamagedError("topic.safetensors has other arrays than a topic model's")
    if counts.shape != (len(alpha), len(text.vocabulary)) or not counts.size:
        raise DamagedError("topic.safetensors has another number of topics or words than topic.json")
    if (alpha <= 0).any() or (counts < 0).any() or (counts.sum(1) <= 0).any():
        raise DamagedError("topic.safetensors has impossible counts of words")
    if text.topic >= len(alpha) or len(set(text.vocabulary)) != len(text.vocabulary):
        raise DamagedError("topic.json names a missing topic, or a word twice")
    model = TopicModel(tuple(text.vocabulary), counts, alpha, text.seed, text.language)
    return Pointer(model, text.topic)


def decode_passages(files: Mapping[str, bytes], *, count: int | None = None) -> PassageSet:
    """The passages that `encode_passages` wrote; documents have empty texts.

    Args:
        count: how many there must be, if known.
    """
    name = "passages.json"
    tree = fields.read(fields.StoredPassages, _json(files, name), name)
    if not tree.passages or (count is not None and len(tree.passages) != count):
        raise DamagedError(f"{name} has {len(tree.passages)} passages, and the round has {count}")
    if any(passage.document >= len(tree.documents) for passage in tree.passages):
        raise DamagedError(f"{name} has a passage of a missing document")
    if len({passage.id for passage in tree.passages}) != len(tree.passages):
        raise DamagedError(f"{name} has two passages of one id")
    return PassageSet(
        documents=tuple(Document(text="", **vars(document)) for document in tree.documents),
        passages=tuple(Passage(**vars(passage)) for passage in tree.passages),
        dropped=tree.dropped,
    )


def count_passages(files: Mapping[str, bytes]) -> int:
    """The number of real passages that a round has memberships of."""
    return len(_memberships(_arrays(files, TENSORS), None)["membership"])


def _metrics(number: int, files: Mapping[str, bytes]) -> Metrics:
    metrics: Metrics = _json(files, "round.json")
    fields.read(fields.StoredMetrics, metrics, "round.json")
    if metrics.get("round", number) != number:
        raise DamagedError(f"round.json is that of round {metrics['round']}")
    return metrics


def _concept(number: int, files: Mapping[str, bytes], arrays: Arrays, passages: int | None) -> Concept:
    name = "concept.json"
    found = fields.read(fields.StoredConcept, _json(files, name), name)
    if found.round != number:
        raise DamagedError(f"{name} is that of round {found.round}")
    weights, embedding = _pop(arrays, "readout.weights", 2), _pop(arrays, "readout.embedding", 1)
    if (found.readout is None) != (weights is None) or (weights is None and embedding is not None):
        raise DamagedError(f"{name} and {TENSORS} disagree on whether there is a readout")
    each = _memberships(arrays, passages)
    return Concept(
        number,
        each["membership"],
        each["single"],
        each["pooled"],
        found.size,
        readout=Readout(weights, embedding=embedding, **vars(found.readout)) if found.readout else None,
        vector=_vector(arrays),
        nats_per_token=found.nats_per_token,
        evidence=each.get("evidence"),
        adapter=_adapter(files),
    )


def _memberships(arrays: Arrays, passages: int | None) -> Arrays:
    names = (*PER_PASSAGE, "evidence")
    each = {name: array for name in names if (array := _pop(arrays, name, 1)) is not None}
    if missing := set(PER_PASSAGE) - each.keys():
        raise DamagedError(f"{TENSORS} lacks {min(missing)}")
    count = len(each["membership"]) if passages is None else passages
    for name, array in each.items():
        if len(array) != count or not count:
            raise DamagedError(f"{TENSORS} has a {name} of {len(array)} passages, and there are {count}")
    if each["membership"].min() < -fields.ROUNDING or each["membership"].max() > 1 + fields.ROUNDING:
        raise DamagedError(f"{TENSORS} has memberships outside of 0 to 1")
    return each


def _vector(arrays: Arrays) -> SteeringVector | None:
    names = [name for name in arrays if name.startswith(VECTOR)]
    if not names:
        return None
    try:
        return SteeringVector.from_tensors(
            {name.removeprefix(VECTOR): torch.from_numpy(_pop(arrays, name, 1)) for name in names}
        )
    except BasinError as error:
        raise DamagedError(f"{TENSORS} has an impossible steering vector: {error}") from None


def _adapter(files: Mapping[str, bytes]) -> Adapter | None:
    found = {name.removeprefix(ADAPTER): files[name] for name in files if name.startswith(ADAPTER)}
    try:
        return Adapter.from_files(found) if found else None
    except BasinError as error:
        raise DamagedError(f"its adapter is damaged: {error}") from None


def _check_widths(record: RoundRecord) -> None:
    """Widths and recorded layers must be those of one model."""
    concept = record.concept
    recorded = [concept.readout.weights] if concept.readout is not None else []
    recorded += [record.activations] if record.activations is not None else []
    widths = {array.shape[-1] for array in recorded}
    if concept.vector is not None:
        widths.add(concept.vector.width)
    if len(widths) > 1 or len({array.shape[-2:] for array in recorded}) > 1 or 0 in widths:
        raise DamagedError(f"{TENSORS} has directions of different models (widths {sorted(widths)})")


def _arrays(files: Mapping[str, bytes], name: str) -> Arrays:
    tensors = parse_tensors(_content(files, name), name)
    for each, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise DamagedError(f"{name} has {each[:80]!r} in an unexpected type")
        if not torch.isfinite(tensor).all():
            raise DamagedError(f"{name} has numbers in {each[:80]!r} that are not finite")
    return {each: tensor.numpy() for each, tensor in tensors.items()}


def _pop(arrays: Arrays, name: str, axes: int) -> Any:
    """Remove and return an array, or None; what remains in the end is unknown."""
    array = arrays.pop(name, None)
    if array is not None and array.ndim != axes:
        raise DamagedError(f"{name[:80]} has {array.ndim} axes instead of {axes}")
    return array


def _json(files: Mapping[str, bytes], name: str) -> Any:
    return parse_json(_content(files, name), name)


def _content(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise DamagedError(f"its manifest does not name {name}")
    return files[name]
