"""A soak: two hundred rounds in one process, and whether anything grows but the rounds on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.torture import kept
from benchmarks.torture.ground import ADAPTING, settings, write_config
from benchmarks.torture.lives import fresh
from loops.monitor.progress import Progress

MEASURED = ("memory_mb", "open_files", "threads", "round_kb", "other_kb")
WARM_UP = 20
"""Rounds that are left out of the slope: libraries load what they need when they first need it."""
FEW = {"generation": {"samples": 4, "new_tokens": 8, "prompt_words": 5, "batch_size": 4}}
CHANGES: dict[str, dict[str, Any]] = {
    "vector": {**FEW},
    "adapter": {
        **FEW,
        "updating": {
            "adapting": {
                "lora": {**ADAPTING["lora"], "passages": 8},
                "preference": {**ADAPTING["preference"], "pairs": 2},
            }
        },
    },
}


def run(folder: Path, rounds: int, progress: Progress) -> None:
    """Both ways to update, where they are not measured yet; a row each of first, last and slope."""
    done = {row["method"] for row in kept.rows(folder, "soak-summary")}
    for method, changes in CHANGES.items():
        if method in done:
            continue
        place, samples = folder / "soak", folder / f"soak-{method}.jsonl"
        place.mkdir(exist_ok=True)
        samples.unlink(missing_ok=True)
        for old in (place / "runs" / method, place / "cache"):
            shutil.rmtree(old, ignore_errors=True)
        # Never still, and never collapsed.
        tree = settings(folder, method, rounds=rounds, **changes)
        config = write_config(place / f"{method}.yaml", tree)
        progress.say(f"soak: {rounds} rounds with {method}")
        places = {"BASIN_CHECKPOINTS": str(place / "runs"), "BASIN_CACHE": str(place / "cache")}
        ended = fresh(
            place, ("run", str(config), "--name", method), places, {"samples": str(samples)}, longest=4 * 3600
        )
        if ended.status:
            raise RuntimeError(f"the soak ended with {ended.status}: {ended.said[-1000:]}")
        kept.add(folder, "soak-summary", [{"method": method, **slopes(kept.rows(folder, samples.stem))}])
        shutil.rmtree(place / "runs" / method)


def slopes(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of each measure the first value after warming up, the last, and the slope of a straight line per 100 rounds."""
    late = [row for row in rows if row["round"] >= min(WARM_UP, len(rows) // 2)]
    found: dict[str, float] = {"rounds": rows[-1]["round"]}
    numbers = np.array([row["round"] for row in late], dtype=float)
    for name in MEASURED:
        values = np.array([row[name] for row in late], dtype=float)
        slope = float(np.polyfit(numbers, values, 1)[0]) if len(late) > 1 else 0.0
        found |= {f"{name}_first": values[0], f"{name}_last": values[-1], f"{name}_per_100": 100 * slope}
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    import sys

    print(
        json.dumps(
            slopes([json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]), indent=1
        )
    )
