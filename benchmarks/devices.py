"""One run's work by one process and by several: `python -m benchmarks.devices`.

A launch records, writes and teaches on a processor each, or on a GPU each where there are several. A map's starts
are followed by one process, and by two nodes of a Ray cluster on this machine. Writes results/devices.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer

from agent import processes
from agent.adapting.config import LoraConfig
from agent.adapting.lesson import Lesson
from agent.adapting.supervised import fit_lora
from agent.concept import Concept
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.language_model.token_counts import token_lengths
from benchmarks.results import write_results
from benchmarks.speed import openings, passages, without_recordings
from loops.basin_map.map import map_basin
from loops.config import MapConfig, load_wrapped
from loops.parallel import generate_passages, prepare_writing, record_passages

WINDOW, STEPS, REPEATS = 512, 4, 2
MAP = Path(__file__).parents[1] / "configs" / "runs" / "basin_brown.yaml"
FEW = [
    "starts.draws=2",
    "starts.mixtures=[0.3, 0.6]",
    "starts.noise=[0.3]",
    "starts.documents=[5, 10]",
    "rounds=8",
]
Row = dict[str, Any]


def measure(
    counts: Annotated[list[int], typer.Option("--processes", help="Sizes of the launch, 1 first.")] = [1, 2],  # noqa: B006
    ray: Annotated[bool, typer.Option(help="Also follow a map's starts over Ray.")] = True,
    member: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure everything in turn, and write the rows."""
    if member:
        return work(member)
    rows: list[Row] = []
    with TemporaryDirectory(prefix="basin-devices-") as folder, without_recordings():
        alone: Path | None = None
        for count in counts:
            out = Path(folder) / str(count)
            launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count)]
            script = [*(launch if count > 1 else []), "-m", "benchmarks.devices", "--member", str(out)]
            subprocess.run([sys.executable, *script], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
            alone = alone or out
            rows += _compared(json.loads((out / "rows.json").read_bytes()), out, alone, processes=count)
        if ray:
            rows += _maps(Path(folder))
    write_results("devices", rows, ["python", "-m", "benchmarks.devices", *sys.argv[1:]])


def _compared(rows: list[Row], out: Path, alone: Path, **about: Any) -> list[Row]:
    """Rows with their speed-up over one process, and the largest difference from its results."""
    first = {row["stage"]: row for row in json.loads((alone / "rows.json").read_bytes())}
    for row in rows:
        found, wanted = (np.load(each / f"{row['stage']}.npy") for each in (out, alone))
        row |= {"tool": "basin", "engine": "accelerate", "threads": 1, **about}
        row["speedup"] = row["tokens_per_second"] / first[row["stage"]]["tokens_per_second"]
        row["agrees"] = float(np.abs(found - wanted).max())
    return rows


def work(out: Path) -> None:
    """What one launch measures: rows.json, and each stage's results."""
    if processes.launched() > 1 and processes.join({}):
        processes.serve()
        return
    out.mkdir()
    model = LanguageModel.load(LanguageModelConfig(name="smollm2-135m", layers=(6, 12, 18)))
    config = GenerationConfig(samples=64, new_tokens=64, temperature=0)
    prepare_writing(model, config, LoraConfig().batch)
    nothing = np.zeros(0)
    concept = Concept(0, nothing, nothing, nothing, 0.1)
    texts = passages(512)
    tokens = sum(token_lengths(model.tokenizer, texts))
    windows = np.random.default_rng(0).integers(5, len(model.tokenizer), (4 * STEPS, WINDOW)).tolist()

    def record() -> np.ndarray:
        with without_recordings():
            return record_passages(model, texts)

    def write() -> np.ndarray:
        batches = {"": (openings(64), range(64))}
        ((_, found),) = generate_passages(model, concept, batches, config)
        return np.array([hash_of(each) for each in found])

    def teach() -> np.ndarray:
        with TemporaryDirectory() as folder:
            adapter, _ = fit_lora(model, Lesson(windows), LoraConfig(), seed=0, folder=Path(folder))
        return torch.cat([each.flatten() for each in adapter.tensors.values()]).numpy()

    stages: dict[str, tuple[Callable[[], np.ndarray], int]] = {
        "record": (record, tokens),
        "write": (write, 64 * 64),
        "teach": (teach, 4 * STEPS * WINDOW),
    }
    rows = []
    for stage, (run, size) in stages.items():
        seconds = []
        for _ in range(1 if stage == "teach" else REPEATS):
            begin = time.perf_counter()
            found = run()
            seconds.append(time.perf_counter() - begin)
        np.save(out / f"{stage}.npy", found)
        rows.append({"stage": stage, "tokens_per_second": size / float(np.median(seconds))})
    (out / "rows.json").write_text(json.dumps(rows))
    processes.leave(finished=True)


def hash_of(text: str) -> float:
    """A number that differs where texts do."""
    return float(sum(ord(each) * (at + 1) for at, each in enumerate(text)))


def _maps(folder: Path) -> list[Row]:
    """A small map by one process, and by a Ray cluster of two nodes with a processor each."""
    from ray.cluster_utils import Cluster

    config = load_wrapped(MapConfig, MAP, FEW)
    map_basin(config, folder / "warm")  # fills the caches
    found = map_basin(config, folder / "one")
    node = {"num_cpus": 1, "object_store_memory": 200_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    try:
        run = config.run.model_copy(update={"ray": cluster.address})
        shared = map_basin(config.model_copy(update={"run": run}), folder / "two")
    finally:
        cluster.shutdown()
    agrees = float(np.abs(found.path - shared.path).max())
    rows = []
    for count, each in ((1, found), (2, shared)):
        row: Row = {"tool": "basin", "stage": "map", "engine": "ray", "processes": count, "threads": 1}
        row |= {"starts": len(each.flows), "starts_per_minute": len(each.flows) / each.minutes}
        rows.append(row | {"speedup": found.minutes / each.minutes, "agrees": agrees if count > 1 else 0.0})
    return rows


if __name__ == "__main__":
    typer.run(measure)
