"""Files as a round: everything is checked for itself and against everything else, so that nothing wrong is loaded silently.

The hashes hold by then; but whoever forged a file may have forged its hash. Every function here raises `DamagedError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agent.basin.tracking import Exchange
from agent.concept import Concept, Readout
from agent.corpora.words import CODE, ENGLISH
from agent.errors import BasinError
from agent.files.checked import DamagedError, parse_json, parse_tensors
from agent.language_model.adapter import Adapter
from agent.pointer.topic_model import Pointer, TopicModel
from agent.steering.gate import PLAIN, Gate, SteeringMode
from agent.steering.vector import SteeringVector
from agent.types import Document, Passage, PassageSet
from loops.checkpoint import fields
from loops.checkpoint import fields as check
from loops.checkpoint.encode import ADAPTER, EXCHANGED, GATE, VECTOR
from loops.records import Generated, RoundRecord

TENSORS = "tensors.safetensors"
ONE_EACH = ("membership", "single", "pooled", "evidence")
"""Arrays with one number for every real passage."""


def decode_round(number: int, files: Mapping[str, bytes], *, passages: int | None = None) -> RoundRecord:
    """The record that `encode_round` wrote; older and pruned rounds have less.

    Args:
        passages: how many the run has, where that is known: every round has a number for each.
    """
    arrays = _arrays(files)
    concept = _concept(number, _json(files, "concept.json"), arrays, _adapter(files), passages)
    generated = tuple(
        Generated(**sample)
        for sample in check.rows(_json(files, "samples.json"), fields.SAMPLE, "samples.json")
    )
    activations = _activations(arrays, len(generated))
    exchange = _exchange(_json(files, EXCHANGED)) if EXCHANGED in files else None
    if arrays:
        raise DamagedError(f"{TENSORS} has {min(arrays)[:80]!r}, which is nothing of ours")
    if known := files.keys() - _known(number) - {f"{ADAPTER}{name}" for name in Adapter.FILES}:
        raise DamagedError(f"its manifest names {min(known)[:80]!r}, which is nothing of ours")
    record = RoundRecord(
        number,
        concept,
        fields.checked_numbers(number, _json(files, "round.json")),
        generated,
        activations,
        check.table_of(_json(files, "cost.json"), check.is_not_negative, "cost.json"),
        exchange=exchange,
    )
    _check_widths(record)
    return record


def decode_pointer(files: Mapping[str, bytes]) -> Pointer:
    """The pointer that `encode_pointer` wrote."""
    kinds = {"topic": check.is_whole, "seed": check.is_whole, "vocabulary": check.is_texts}
    text = check.table(_json(files, "topic.json"), kinds, "topic.json", may_lack={"language": _is_language})
    arrays = _loaded(files, "topic.safetensors")
    counts, alpha = (_taken(arrays, name, axes) for name, axes in (("topic_word_counts", 2), ("alpha", 1)))
    if counts is None or alpha is None or arrays:
        raise DamagedError("topic.safetensors has other arrays than a topic model's")
    if counts.shape != (len(alpha), len(text["vocabulary"])) or not counts.size:
        raise DamagedError("topic.safetensors has another number of topics or words than it should")
    if (alpha <= 0).any() or (counts < 0).any() or (counts.sum(1) <= 0).any():
        raise DamagedError("topic.safetensors has counts of words that cannot be meant")
    if text["topic"] >= len(alpha) or len(set(text["vocabulary"])) != len(text["vocabulary"]):
        raise DamagedError("topic.json names a topic that is not there, or a word twice")
    model = TopicModel(tuple(text["vocabulary"]), counts, alpha, text["seed"], text.get("language", ENGLISH))
    return Pointer(model, text["topic"])


def _is_language(value: Any) -> bool:
    return isinstance(value, str) and CODE.fullmatch(value) is not None


def decode_passages(files: Mapping[str, bytes], *, count: int | None = None) -> PassageSet:
    """The passages that `encode_passages` wrote; the text of every document is empty.

    Args:
        count: how many there must be, where that is known.
    """
    name = "passages.json"
    parts = {key: lambda value: isinstance(value, list) for key in ("documents", "passages")}
    tree = check.table(_json(files, name), {**parts, "dropped": lambda value: isinstance(value, dict)}, name)
    documents = check.rows(tree["documents"], dict.fromkeys(("id", "title", "author"), check.is_text), name)
    kinds = {
        **dict.fromkeys(("id", "text"), check.is_text),
        **dict.fromkeys(("document", "position"), check.is_whole),
    }
    passages = check.rows(tree["passages"], kinds, name)
    if not passages or (count is not None and len(passages) != count):
        raise DamagedError(f"{name} has {len(passages)} passages, and the round was made of {count}")
    if any(passage["document"] >= len(documents) for passage in passages):
        raise DamagedError(f"{name} has a passage of a document that is not there")
    if len({passage["id"] for passage in passages}) != len(passages):
        raise DamagedError(f"{name} has two passages of one id")
    return PassageSet(
        documents=tuple(Document(text="", **document) for document in documents),
        passages=tuple(Passage(**passage) for passage in passages),
        dropped=check.table_of(tree["dropped"], check.is_whole, name),
    )


def count_passages(files: Mapping[str, bytes]) -> int:
    """How many real passages a round has memberships of."""
    return len(_memberships(_arrays(files), None)["membership"])


def _concept(
    number: int, tree: Any, arrays: dict[str, np.ndarray], adapter: Adapter | None, passages: int | None
) -> Concept:
    mode = lambda value: isinstance(value, dict)  # noqa: E731
    scalars = dict(check.table(tree, fields.CONCEPT, "concept.json", may_lack={"mode": mode}))
    if scalars["round"] != number:
        raise DamagedError(f"concept.json is that of round {scalars['round']}")
    each = _memberships(arrays, passages)
    readout, mode_tree = scalars.pop("readout"), scalars.pop("mode", None)
    weights = _taken(arrays, "readout.weights", 2)
    if (readout is None) != (weights is None):
        raise DamagedError(f"concept.json and {TENSORS} disagree on whether there is a readout")
    curve = tuple(map(tuple, scalars.pop("size_curve")))
    return Concept(
        membership=each["membership"],
        single=each["single"],
        pooled=each["pooled"],
        evidence=each.get("evidence"),
        readout=readout
        and Readout(weights=weights, **check.table(readout, fields.READOUT, "concept.json's readout")),
        vector=_vector(arrays),
        mode=_manner(mode_tree, arrays),
        adapter=adapter,
        size_curve=curve,
        **scalars,
    )


def _memberships(arrays: dict[str, np.ndarray], passages: int | None) -> dict[str, np.ndarray]:
    each = {name: array for name in ONE_EACH if (array := _taken(arrays, name, 1)) is not None}
    for name in ONE_EACH[:3]:
        if name not in each:
            raise DamagedError(f"{TENSORS} lacks {name}")
    count = len(each["membership"]) if passages is None else passages
    for name, array in each.items():
        if len(array) != count or not count:
            raise DamagedError(f"{TENSORS} has a {name} of {len(array)} passages, and there are {count}")
    if each["membership"].min() < -check.ROUNDING or each["membership"].max() > 1 + check.ROUNDING:
        raise DamagedError(f"{TENSORS} has memberships outside of 0 to 1")
    return each


def _vector(arrays: dict[str, np.ndarray]) -> SteeringVector | None:
    names = [name for name in arrays if name.startswith(VECTOR)]
    directions = {name.removeprefix(VECTOR): torch.from_numpy(_taken(arrays, name, 1)) for name in names}
    if not directions:
        return None
    try:
        return SteeringVector.from_tensors(directions)
    except BasinError as error:
        raise DamagedError(f"{TENSORS} has no steering vector that can be meant: {error}") from None


def _manner(tree: Any, arrays: dict[str, np.ndarray]) -> SteeringMode:
    direction = _taken(arrays, f"{GATE}direction", 1)
    if tree is None and direction is None:
        return PLAIN
    found = check.table(tree, fields.MANNER, "concept.json's mode")
    if (found["gate"] is None) != (direction is None):
        raise DamagedError(f"concept.json and {TENSORS} disagree on whether there is a gate")
    if direction is None:
        return SteeringMode(found["norm_preserving"], None)
    gate = check.table(found["gate"], fields.GATED, "concept.json's gate")
    return SteeringMode(found["norm_preserving"], Gate(direction=torch.from_numpy(direction), **gate))


def _adapter(files: Mapping[str, bytes]) -> Adapter | None:
    found = {
        name.removeprefix(ADAPTER): content for name, content in files.items() if name.startswith(ADAPTER)
    }
    try:
        return Adapter.from_files(found) if found else None
    except BasinError as error:
        raise DamagedError(f"its adapter is damaged: {error}") from None


def _activations(arrays: dict[str, np.ndarray], samples: int) -> np.ndarray | None:
    found = _taken(arrays, "activations", 3)
    if found is not None and len(found) != samples:
        raise DamagedError(f"{TENSORS} has activations of {len(found)} texts, and samples.json has {samples}")
    return found


def _exchange(tree: Any) -> Exchange:
    lists = ("threw_out", "took_in", "entered", "left")
    found = check.table(tree, dict.fromkeys(lists, check.is_texts), EXCHANGED)
    return Exchange(**{name: tuple(ids) for name, ids in found.items()})


def _check_widths(record: RoundRecord) -> None:
    """One model has made all of it: widths agree, and so do the layers that are recorded."""
    concept, shapes = record.concept, set()
    widths = {concept.vector.width} if concept.vector is not None else set()
    if concept.mode.gate is not None:
        widths.add(len(concept.mode.gate.direction))
    for array in (concept.readout and concept.readout.weights, record.activations):
        if array is not None:
            shapes.add(array.shape[-2:])
            widths.add(array.shape[-1])
    if len(widths) > 1 or len(shapes) > 1 or 0 in widths:
        raise DamagedError(f"{TENSORS} has directions of different models (widths {sorted(widths)})")


def _known(number: int) -> set[str]:
    """Files that a round may have."""
    every = {"round.json", "concept.json", "samples.json", "cost.json", TENSORS, EXCHANGED}
    first = {"topic.json", "topic.safetensors", "passages.json", "config.json"}
    return every if number else every | first


def _arrays(files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    return _loaded(files, TENSORS)


def _loaded(files: Mapping[str, bytes], name: str) -> dict[str, np.ndarray]:
    tensors = parse_tensors(_content(files, name), name)
    for each, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise DamagedError(f"{name} has {each[:80]!r} in a type that it is not kept in")
        if not torch.isfinite(tensor).all():
            raise DamagedError(f"{name} has numbers in {each[:80]!r} that are not finite")
    return {each: tensor.numpy() for each, tensor in tensors.items()}


def _taken(arrays: dict[str, np.ndarray], name: str, axes: int) -> Any:
    """An array, taken out, so that what is left over is nothing of ours; None where there is none."""
    array = arrays.pop(name, None)
    if array is not None and array.ndim != axes:
        raise DamagedError(f"{name[:80]} has {array.ndim} axes, and {axes} are meant")
    return array


def _json(files: Mapping[str, bytes], name: str) -> Any:
    return parse_json(_content(files, name), name)


def _content(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise DamagedError(f"its manifest does not name {name}")
    return files[name]
