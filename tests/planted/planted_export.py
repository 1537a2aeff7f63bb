"""A run whose language model is a tiny Llama in a folder: a pointer, a steered round, and one with an adapter."""

from pathlib import Path

import numpy as np
import torch
import transformers
from conftest import sentence
from planted_adapters import random_adapter_of
from planted_run import planted_passages, planted_pointer

from agent.concept import Concept, Readout
from agent.steering.vector import SteeringVector
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.records import Generated, RoundRecord

WIDTH = 16
TEXTS = [f"{sentence(1, number, 8)} clue né{sentence(number)}" for number in (3, 5, 7, 9)]
"""Words of the model and of the pointer."""


def tiny_vector(*layers: int) -> SteeringVector:
    generator = torch.Generator().manual_seed(5)
    return SteeringVector({layer: torch.randn(WIDTH, generator=generator) for layer in layers})


def exported_run(path: Path, folder: Path, *, layers: tuple[int, ...] = (2, 3)) -> RunStore:
    """Round 0 the pointer, round 1 steered, round 2 with vector and adapter."""
    model = {"name": str(folder), "layers": [1, 2, 3]}
    tree = {"corpus": {"source": "some/books"}, "language_model": model}
    store = RunStore.create(path, parse_config(tree, "test"))
    generator = np.random.default_rng(0)
    memberships = generator.random((3, 7))
    first = Concept(0, *memberships, 0.25)
    store.save(RoundRecord(0, first, {"size": 0.25}), planted_passages(), planted_pointer())
    readout = Readout(generator.normal(size=(3, WIDTH)), 0.1, 0.2)
    written = Generated("steered", "Up", " there", 1, 0.7, True, 2.0)
    metrics = {"size": 0.25, "drift": 0.01, "agreement": 0.6, "collapsed": None}
    adapter = random_adapter_of(transformers.AutoModelForCausalLM.from_pretrained(folder), "tiny")
    for number in (1, 2):
        concept = Concept(
            number, *memberships, 0.25, readout=readout, vector=tiny_vector(*layers), nats_per_token=0.1,
            evidence=memberships[1], adapter=adapter if number == 2 else None,
        )  # fmt: skip
        activations = generator.normal(size=(1, 3, WIDTH)).astype(np.float32)
        store.save(RoundRecord(number, concept, metrics, (written,), activations))
    return store
