"""Basin maps of several concepts: `python -m benchmarks.basin [NAME ...]`.

Minutes are of the sweep alone; the first map is made by one process and by two, the others by two. Rows of other
maps stay in results/basin.json; pictures and starts lie in benchmark_basin/NAME among the runs.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import CONFIGS
from agent.judging.gold import SUITE_GOLD_FILE, every_gold_labels
from benchmarks.results import RESULTS, Value, with_earlier, write_results
from loops.basin_map.evaluate import MeasuredMap, draw, measured_by
from loops.basin_map.map import TABLE, BasinMap, map_basin
from loops.checkpoint.find import checkpoints_folder
from loops.config import MapConfig, load_wrapped
from loops.evaluation.membership.suite import SUITE_FILE, is_present, load_suite

WORKERS, LIBRARY = (1, 2), "basin_library.yaml"


@dataclass(frozen=True)
class Case:
    """One map: a configuration, with some settings changed."""

    config: str
    corpus: str
    """Of the suite, for the concept's words and labels."""
    concept: str
    settings: tuple[str, ...] = ()
    drawn: bool = False
    """Whether its pictures are kept."""


CASES = {
    "library": Case(LIBRARY, "library", "detective", drawn=True),
    "brown": Case("basin_brown.yaml", "brown-fiction", "detective", drawn=True),
    "library-smaller": Case(LIBRARY, "library", "detective", ("clustering.size=0.2",)),
    "library-one-view": Case(LIBRARY, "library", "detective", ("clustering.embeddings=false",)),
    "library-philosophy": Case(LIBRARY, "library", "philosophy", ("clustering.size=0.05",), drawn=True),
    "library-children": Case(LIBRARY, "library", "children", ("clustering.size=0.1",)),
    "library-seed-1": Case(LIBRARY, "library", "detective", ("seed=1",)),
    "library-seed-2": Case(LIBRARY, "library", "detective", ("seed=2",)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Map, measure, keep."""
    chosen = list(sys.argv[1:] if arguments is None else arguments) or list(CASES)
    if unknown := [name for name in chosen if name not in CASES]:
        raise SystemExit(f"Error: there is no case {unknown[0]}; there are {', '.join(CASES)}.")
    rows = {row["method"]: row for row in with_earlier([], id, RESULTS / "basin.json")}
    for name in chosen:
        case = CASES[name]
        if not is_present(next(each for each in load_suite(SUITE_FILE) if each.name == case.corpus)):
            print(f"The corpus {case.corpus} is not here: {name} is left out.", file=sys.stderr)
            continue
        rows[name] = run(name, case)
        command = ["python", "-m", "benchmarks.basin", *(each for each in CASES if each in rows)]
        write_results("basin", [rows[each] for each in CASES if each in rows], command)


def run(name: str, case: Case) -> dict[str, Value]:
    """One row, and the files beside it."""
    suite = next(each for each in load_suite(SUITE_FILE) if each.name == case.corpus)
    words = ", ".join(suite.concepts[case.concept])
    key = "seed_words" if suite.pointer == "seed_words" else "words"
    config = load_wrapped(
        MapConfig, CONFIGS / "runs" / case.config, [f"topics.{key}=[{words}]", *case.settings]
    )
    minutes: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for workers in WORKERS if name == next(iter(CASES)) else WORKERS[-1:]:
            run = config.run.model_copy(update={"workers": workers})
            found = map_basin(config.model_copy(update={"run": run}), Path(scratch) / str(workers))
            minutes[workers] = found.minutes
        labels = every_gold_labels(config.run.corpus, found.setup.passages.documents, SUITE_GOLD_FILE)
        reading = next(each for each in labels if each.concept == case.concept)
        folder = checkpoints_folder() / "benchmark_basin" / name
        folder.mkdir(parents=True, exist_ok=True)
        measured = measured_by(found, reading)
        if case.drawn:
            draw(found, reading, folder)
        shutil.copy(Path(scratch) / str(WORKERS[-1]) / TABLE, folder / TABLE)
    (folder / "measured.json").write_text(
        json.dumps({"concept": measured.concept, **measured.numbers, "by_kind": measured.by_kind}, indent=1)
        + "\n"
    )
    return row_of(name, case, found, measured, minutes)


def row_of(
    name: str, case: Case, found: BasinMap, measured: MeasuredMap, minutes: dict[int, float]
) -> dict[str, Value]:
    """What the table says of a map."""
    numbers: dict[str, Any] = measured.numbers
    reached, worth = numbers["same_fixed_point"]["reached"], numbers["certificate"]
    row: dict[str, Value] = {"method": name, "corpus": case.corpus, "concept": case.concept, "mode": "cheap"}
    row |= {"size": found.setup.inputs.round_map.size, "base_rate": numbers["base_rate"]}
    row |= {"starts": len(found.flows), "settled": int((found.reached >= 0).sum())}
    row |= {"fixed_points": len(found.points), "better_starts": reached and reached["of"]}
    row |= {"same_fixed_point_share": reached and reached["share"]}
    row |= {"same_when_held": _share(numbers["held"]["same_as_topic"])}
    copied = ("fixed_point_ap", "topic_ap", "ceiling_ap", "best_round_of_any_start")
    copied += ("noise_80_precision", "noise_80_trained_once_ap", "noise_80_final_ap")
    row |= {each: numbers[each] for each in copied}
    row |= {"noise_80_arrives": _share(numbers["noise_80_arrives"])}
    row |= {"quality_threshold": numbers["threshold"], "certified": int(found.certified.sum())}
    for group in ("all", "pointing"):
        label = "" if group == "all" else "_pointing"
        for kind in ("precision", "recall"):
            row[f"certificate_{kind}{label}"] = _share(worth[group][kind])
    for workers, taken in minutes.items():
        row[f"minutes_{workers}_workers"] = taken
        row[f"starts_per_minute_{workers}"] = len(found.flows) / taken
    return row | {"workers": max(minutes)}


def _share(found: dict[str, Any] | None) -> float | None:
    return None if found is None else float(found["share"])


if __name__ == "__main__":
    main()
