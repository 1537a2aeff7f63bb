"""Pointers and vectors that were made elsewhere: files to read them from, and checks of their readers."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from agent.pointer.imported import load_topic_model, read_examples, read_weights, save_topic_model
from agent.pointer.lda import TopicModel
from agent.steering.control_vector import read_control_vector, write_control_vector, write_out
from agent.steering.gate import Manner
from agent.steering.vector import SteeringVector
from agent.types import Document, document_id
from benchmarks.fuzzing.made import ODD_VALUES
from benchmarks.fuzzing.readers import require, require_text
from benchmarks.fuzzing.watching import Check

WORDS = ("murder", "inspector", "harvest", "ship", "the", "of", "two words", "", "Ägypten", "a\nb", "\ud800")
CORPUS = tuple(Document(document_id(text), text, title) for title, text in (("A", "One."), ("B", "Two.")))


def control_vector(content: bytes, folder: Path) -> None:
    path = folder / "vector.gguf"
    path.write_bytes(content)
    found = read_control_vector(path)
    require(bool(found.vector.layers) and found.vector.width >= 0, "a control vector has directions")
    require(
        all(bool(torch.isfinite(row).all()) for row in found.vector.directions.values()),
        "directions are finite",
    )
    require(isinstance(found.model_hint, str), "a hint is a text")


def topic_model(name: str) -> Check:
    """A check of the reader for topic models in files of this name."""

    def check(content: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(content)
        found = load_topic_model(path)
        topics, alpha = found.topic_word_counts, found.alpha
        require(topics.shape == (len(alpha), len(found.vocabulary)), "a row a topic, a column a word")
        require(alpha.ndim == 1 and bool((alpha > 0).all()), "a prior is a positive number for each topic")
        require(bool(np.isfinite(topics).all() and (topics > 0).all()), "counts are positive")
        require(len(set(found.vocabulary)) == len(found.vocabulary), "a word is there once")
        for word in found.vocabulary:
            require_text(word)
        weights = found.infer(("murder inspector harvest", ""))
        require(bool(np.isfinite(weights).all()), "texts have weights")

    return check


def weights(name: str) -> Check:
    """A check of the reader for document weights in files of this name."""

    def check(content: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(content)
        found = read_weights(path, "weight", CORPUS, CORPUS)
        require(found.shape == (2,) and bool(((found >= 0) & (found <= 1)).all()), "two weights in [0, 1]")

    return check


def examples(content: bytes, folder: Path) -> None:
    path = folder / "examples.txt"
    path.write_bytes(content)
    found = read_examples(path)
    require(bool(found) and all(each.strip() for each in found), "examples have a text")
    for each in found:
        require_text(each)


def vector_file(draw: random.Random) -> bytes:
    """Directions in a GGUF file, sometimes with odd names, numbers and fields."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vector.gguf"
        if draw.random() < 0.5:
            _odd_vector(path, draw)
        else:
            layers = draw.sample(range(2, 30), draw.randrange(1, 4))
            vector = SteeringVector(
                {layer: torch.full((6,), draw.choice((0.0, 0.5, -9.0, 1e30))) for layer in layers}
            )
            write_control_vector(path, vector, draw.choice(("llama", "")), Manner(), {"run": "a", "round": 3})
        return path.read_bytes()


def _odd_vector(path: Path, draw: random.Random) -> None:
    writer = gguf.GGUFWriter(path, draw.choice(("controlvector", "llama", "")))
    if draw.random() < 0.5:
        writer.add_array("controlvector.model_hint", ["llama", "gemma"])
    names = draw.sample(("direction.0", "direction.1", "direction.9999", "direction.x", "other"), 2)
    for name in names:
        kind = draw.choice((np.float16, np.float32, np.float64, np.int8))
        shape = draw.choice(((6,), (6,), (2, 3), (1,)))
        filled = 1.0 if kind is np.int8 else draw.choice((0.0, 1.0, np.nan, np.inf))
        writer.add_tensor(name, np.full(shape, filled, dtype=kind))
    write_out(writer)


def topic_tree(draw: random.Random) -> bytes:
    """A topic model as JSON, with something odd in it more often than not."""
    words = draw.sample(WORDS, draw.randrange(1, 6))
    topics = draw.randrange(1, 4)
    tree: dict[str, Any] = {
        "vocabulary": words,
        "topic_word": [[draw.choice((0, 1, 0.5, 400)) for _ in words] for _ in range(topics)],
        "alpha": [0.1] * topics,
    }
    if draw.random() < 0.3:
        del tree["alpha"]
    if draw.random() < 0.6:
        key = draw.choice((*tree, "topic_word", "alpha"))
        held = tree.get(key)
        if isinstance(held, list) and held and draw.random() < 0.7:
            place = held[0] if isinstance(held[0], list) and draw.random() < 0.7 else held
            place[draw.randrange(len(place))] = draw.choice(ODD_VALUES)
        else:
            tree[key] = draw.choice((*ODD_VALUES, [[0.1]], [[0.1, 0.2]], [10**400]))
    return json.dumps(draw.choice((tree, tree, tree, [tree], words))).encode()


@cache
def _plain_topics() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        model = TopicModel(("murder", "harvest", "ship"), np.ones((2, 3)) * 60, np.array([0.1, 0.3]), 0)
        return save_topic_model(model, Path(folder) / "topics.safetensors").read_bytes()


def topic_tensors(draw: random.Random) -> bytes:
    """A topic model as safetensors, of the right names and any shape and type."""
    import safetensors.torch

    if draw.random() < 0.3:
        return _plain_topics()
    words = [word for word in draw.sample(WORDS, draw.randrange(1, 6)) if word.isprintable()]
    kind = draw.choice((torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool))
    rows, columns = draw.randrange(4), len(words) + draw.choice((0, 0, 0, 1))
    arrays = {
        "topic_word": torch.full((rows, columns), draw.choice((0.0, 1.0, 200.0))).to(kind),
        "alpha": torch.full(draw.choice(((rows,), (rows, rows), ())), 0.1).to(kind),
    }
    if draw.random() < 0.2:
        del arrays[draw.choice(("topic_word", "alpha"))]
    told = draw.choice((json.dumps(words), json.dumps(words), "[1]", "", "murder"))
    metadata = draw.choice(({"vocabulary": told}, {"vocabulary": told}, {"words": told}, None))
    return safetensors.torch.save(arrays, metadata=metadata)


def weight_list(draw: random.Random) -> bytes:
    """Weights as JSON: bare numbers, or rows with a title."""
    numbers = [draw.choice((0, 1, 0.5, 0.25, *ODD_VALUES)) for _ in range(draw.choice((2, 2, 2, 1, 3)))]
    if draw.random() < 0.4:
        return json.dumps(numbers).encode()
    return json.dumps(_weight_rows(numbers, draw)).encode()


def weight_lines(draw: random.Random) -> bytes:
    """The same as a record a line."""
    numbers = [draw.choice((0, 1, 0.5, *ODD_VALUES)) for _ in range(draw.choice((2, 2, 3)))]
    return "\n".join(map(json.dumps, _weight_rows(numbers, draw))).encode()


def _weight_rows(numbers: list[Any], draw: random.Random) -> list[Any]:
    titles = draw.choice((("A", "B", "C"), ("B", "A", "A"), ("A", "", None), (1, [2], "B")))
    rows: list[Any] = [
        {"title": title, "weight": number} for title, number in zip(titles, numbers, strict=False)
    ]
    if draw.random() < 0.2:
        rows.append(draw.choice((None, [], 3, {"weight": 1}, {"title": "A"})))
    return rows
