"""What keeping costs: on tiny runs as they are, and at real sizes against rounds that were measured before.

Real sizes: 1,000 passages, three layers of 576, 48 passages written in two batches, a rank-8 adapter on the attention of 30
layers with the two moments of its optimiser, kept every minute while it trains.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from agent.adapting.trainer_state import SECONDS_BETWEEN_SAVES, KeepsState
from agent.basin.tracking import exchanged
from agent.concept import Concept, Readout
from agent.language_model.adapter import Adapter
from agent.language_model.decoding.loop import GenerationConfig
from agent.steering.vector import SteeringVector
from benchmarks.results import RESULTS
from benchmarks.torture import kept, kills
from benchmarks.torture.ground import METHODS
from benchmarks.torture.lives import Nursery
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.monitor.progress import Progress
from loops.records import Generated, RoundRecord
from loops.round.partial import read_in_parts, write_in_parts

PASSAGES, LAYERS, WIDTH, DEPTH, WRITTEN, TIMES = 1000, (6, 12, 18), 576, 30, 48, 15


def run(folder: Path, progress: Progress) -> None:
    """Both, where they are not measured yet."""
    if kept.rows(folder, "overhead"):
        return
    progress.say("Overhead: what keeping costs, at real sizes and on tiny runs")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        rows = at_real_sizes(Path(place))
    with Nursery(folder / "nursery") as nursery:
        for method in METHODS:
            phases = kills.undisturbed(nursery.live, folder, method).phases
            saving, rounds = min(phases["saving"][1:]), len(phases["saving"]) - 1
            # A round's own phases; the rest of the run is not a round's.
            inside = ("generation", "coherence", "recording", "re-clustering", "steering", "training")
            work = sum(sum(phases.get(name, [])) for name in inside) / rounds
            share = saving / (work + saving)
            rows.append(
                {"of": f"tiny round, {method}", "save_s": saving, "round_s": work + saving, "share": share}
            )
    kept.add(folder, "overhead", rows)


def at_real_sizes(folder: Path) -> list[dict[str, Any]]:
    """Seconds of everything that one round keeps, over the seconds of a round of configs/brown.yaml."""
    record = _record(adapter=None)
    adapted = _record(adapter=_adapter())
    steering, adapting = _round_seconds()
    parts = _timed(lambda number: _keep_parts(folder / f"parts-{number}"))
    plain = _timed(lambda number: _save(folder / f"plain-{number}", record)) + parts
    weights = _adapter()
    state = _timed(lambda number: _keep_state(folder / f"state-{number}", weights))
    states = 2 + adapting / SECONDS_BETWEEN_SAVES  # each of two trainings keeps its end, too
    full = _timed(lambda number: _save(folder / f"full-{number}", adapted)) + parts + states * state
    rows = [("real round, steering", plain, steering), ("real round, adapter", full, adapting)]
    worst = max(rows, key=lambda row: row[1] / row[2])
    return [
        {"of": name, "save_s": saving, "round_s": seconds, "share": saving / seconds}
        for name, saving, seconds in (("real round", *worst[1:]), *rows)
    ]


def _timed(work: Callable[[int], object]) -> float:
    """Seconds of the fastest of several tries: rounds were measured on a machine that had nothing else to do."""
    found = []
    for number in range(TIMES):
        begin = time.perf_counter()
        work(number)
        found.append(time.perf_counter() - begin)
    return min(found)


def _save(path: Path, record: RoundRecord) -> None:
    path.mkdir()
    RunStore(path, parse_config({"corpus": {"source": "somewhere"}}, "")).save(record)


def _keep_parts(folder: Path) -> None:
    """What a round writes and reads before it is whole: passages, activations, likelihoods."""
    prompts, concept = [f"opening {number}" for number in range(WRITTEN)], _record(None).concept
    config = GenerationConfig(samples=WRITTEN, batch_size=WRITTEN // 2)
    write_in_parts(
        lambda some, seeds, _: [text * 60 for text in some],
        prompts,
        range(WRITTEN),
        concept,
        config,
        "m",
        folder,
    )
    size = (len(LAYERS), WIDTH)
    read_in_parts(lambda some: np.zeros((len(some), *size), np.float32), prompts, "record", folder)
    read_in_parts(lambda some: np.zeros(len(some)), prompts, "losses", folder)


def _keep_state(folder: Path, adapter: Adapter) -> None:
    """As the trainer does it: adapter, optimiser, and the small files, then the list of them."""
    state = folder / "checkpoint-1"
    state.mkdir(parents=True)
    moments = {f"{which}.{name}": each.clone() for which in "mv" for name, each in adapter.tensors.items()}
    save_file({**adapter.tensors, **moments}, state / "state.safetensors")
    KeepsState(folder).on_save(None, SimpleNamespace(global_step=1), None)


def _adapter() -> Adapter:
    shapes = {"q": (576, 576), "k": (576, 192), "v": (576, 192), "o": (576, 576)}
    tensors = {}
    for layer in range(DEPTH):
        for name, (inner, outer) in shapes.items():
            tensors[f"{layer}.{name}.lora_A"] = torch.randn(8, inner)
            tensors[f"{layer}.{name}.lora_B"] = torch.randn(outer, 8)
    return Adapter({"r": 8, "base_model_name_or_path": "nobody"}, tensors)


def _record(adapter: Adapter | None) -> RoundRecord:
    generator = np.random.default_rng(0)
    membership = generator.random(PASSAGES)
    readout = Readout(generator.normal(size=(len(LAYERS), WIDTH)), 0.1, 0.5, 0.0, 1.0, 0.0)
    vector = SteeringVector({layer: torch.randn(WIDTH) for layer in LAYERS})
    concept = Concept(
        1, membership, membership, membership, 0.2, readout=readout, vector=vector, evidence=membership
    )
    concept = concept if adapter is None else type(concept)(**{**vars(concept), "adapter": adapter})
    text = "As many words as two hundred tokens make, or about so many. " * 14
    generated = tuple(Generated("steered", "An opening", text, at, 0.5, True, 3.0) for at in range(WRITTEN))
    activations = np.zeros((WRITTEN, len(LAYERS), WIDTH), np.float32)
    ids = [f"passage-{number}" for number in range(PASSAGES)]
    moved = exchanged(ids, membership, membership, membership[::-1].copy())
    return RoundRecord(1, concept, {"drift": 0.1}, generated, activations, {"record": 1.0}, exchange=moved)


def _round_seconds() -> tuple[float, float]:
    """Of a steering round and of one with an adapter: medians over configs/brown.yaml's, as generation_rounds.json has them."""
    rows = json.loads((RESULTS / "generation_rounds.json").read_text(encoding="utf-8"))["rows"]
    of_brown = [row for row in rows if row["run"] == "brown"]
    steering = [row["seconds"] for row in of_brown if 0 < row["round"] < 4]
    adapting = [row["seconds"] for row in of_brown if row["round"] >= 4]  # adapter_from, in that file
    return statistics.median(steering), statistics.median(adapting)
