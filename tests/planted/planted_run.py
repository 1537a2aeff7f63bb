"""A run made up for tests: seven passages of three documents, and rounds whose numbers are drawn by round."""

from pathlib import Path

import numpy as np
import torch

from agent.concept import Concept, Readout
from agent.language_model.adapter import Adapter
from agent.pointer.topic_model import Pointer, TopicModel
from agent.steering.vector import SteeringVector
from agent.types import Document, Passage, PassageSet
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.records import Generated, RoundRecord

CONFIG = parse_config({"corpus": {"source": "/somewhere"}, "rounds": 4}, "test")


def planted_record(number: int) -> RoundRecord:
    """Round 0 is a bare pointer; later ones have everything, with awkward floats and characters."""
    generator = np.random.default_rng(number)
    memberships, evidence = generator.random((3, 7)), generator.normal(size=7)
    metrics = {"drift": 0.1 + 0.2, "size": np.float64(1 / 3), "count": np.int64(7)}
    metrics |= {"stop": None, "still": False}
    if number == 0:
        return RoundRecord(0, Concept(0, *memberships, 0.25), metrics)
    readout = Readout(generator.normal(size=(2, 4)), 1 / 3, 1e-17, generator.normal(size=5), np.pi)
    rows = generator.normal(size=(3, 4)).astype(np.float32)
    directions = dict(zip((9, 12, 18), torch.from_numpy(rows), strict=True))
    concept = Concept(
        number, *memberships, 0.1 + 0.2, readout, SteeringVector(directions),
        nats_per_token=0.3, evidence=evidence,
        adapter=planted_adapter(generator) if number == 2 else None,
    )  # fmt: skip
    steered = Generated("steered", "Up “the”", "stairs\n\n he [b]went 🔎", 2**31 - 1, 0.7, None, None)
    base = Generated("base", "Up the", "hill.", 3, 1 / 3, True, 2.5)
    activations = generator.normal(size=(2, 2, 4)).astype(np.float32)
    cost = {"record": 1.5, "peak_gb": 2.0}
    return RoundRecord(number, concept, metrics, (steered, base), activations, cost)


def planted_adapter(generator: np.random.Generator) -> Adapter:
    tensors = {name: torch.from_numpy(generator.normal(size=(2, 4))) for name in ("q.lora_A", "q.lora_B")}
    return Adapter({"r": 2, "target_modules": ["q"], "base_model_name_or_path": "nobody"}, tensors)


def planted_pointer() -> Pointer:
    counts = np.random.default_rng(0).random((2, 3))
    return Pointer(TopicModel(("clue", "né", "police"), counts, np.array([0.5, 0.25]), 77), 1)


def planted_passages() -> PassageSet:
    documents = (Document("a1", "", "A [Title]", "An Author"), Document("b2", ""), Document("c3", "", "T"))
    passages = (Passage(f"p{at}", at // 3, at % 3, f"Passage {at} — “of” [text].") for at in range(7))
    return PassageSet(documents, tuple(passages), {"duplicate documents": 2})


def save_rounds(store: RunStore, rounds: int) -> None:
    """Add the next `rounds` planted rounds to a run."""
    begin = len(store.rounds())
    for number in range(begin, begin + rounds):
        texts = () if number else (planted_passages(), planted_pointer())
        store.save(planted_record(number), *texts)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
