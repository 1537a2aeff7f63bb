"""Seconds and memory of refining synthetic activations: `python -m benchmarks.refining_cost PASSAGES`.

Memory-mapped activations of three layers of 576, with a planted tenth of the documents. Writes
results/refining_cost.json; rows of other sizes stay.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import typer

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import estimate_prior
from agent.clustering.redraw import settle
from agent.clustering.texts import Texts
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.round.context import peak_gigabytes

LAYERS, WIDTH, PER_DOCUMENT, SIZE = 3, 576, 8, 0.1


def main(passages: int) -> None:
    rows = with_earlier([measure(passages)], lambda row: row["passages"], RESULTS / "refining_cost.json")
    write_results("refining_cost", rows, ["python", "-m", "benchmarks.refining_cost", *sys.argv[1:]])


def measure(passages: int) -> dict[str, float | int | str]:
    """One row: refine `passages` synthetic passages to the fixed point."""
    document_of = np.arange(passages) // PER_DOCUMENT
    generator = np.random.default_rng(0)
    inside = generator.random(document_of[-1] + 1) < SIZE
    direction = generator.standard_normal((LAYERS, WIDTH)) / np.sqrt(LAYERS * WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        shape = (passages, LAYERS, WIDTH)
        activations = np.memmap(Path(folder) / "activations", np.float32, "w+", shape=shape)
        for start in range(0, passages, 4096):
            members = inside[document_of[start : start + 4096]]
            noise = generator.standard_normal((len(members), LAYERS, WIDTH))
            activations[start : start + 4096] = noise + 20 * members[:, None, None] * direction
        pointer = generator.normal(inside * 2.0, 1.0)[document_of] + generator.normal(0, 1, passages)
        begin, config = time.perf_counter(), ClusteringConfig()
        real = Texts(activations, pointer)
        found = estimate_prior(real, document_of, SIZE, config, 0)
        drawn = settle(real, document_of, found, config, 0)
        seconds = time.perf_counter() - begin
    row: dict[str, float | int | str] = {"tool": "basin", "stage": "refine", "passages": passages}
    row |= {"rounds": len(drawn), "seconds": seconds}
    return row | {"peak_gb": peak_gigabytes(), "activations_gb": passages * LAYERS * WIDTH * 4 / 1e9}


if __name__ == "__main__":
    typer.run(main)
