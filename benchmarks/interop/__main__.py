"""`python -m benchmarks.interop RUN [--consumer NAME]...`: open a run's exports in the programs that they are for.

Writes results/interop.json, a row per export and consumer; a consumer that is not installed keeps the row that it had. Put what
is not in the environment on PYTHONPATH: llama-cpp-python, repeng and steering-vectors, BERTopic; llama-completion on PATH.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from agent.errors import BasinError
from benchmarks.interop.bench import WRITTEN, Bench, Row
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.checkpoint.find import find_run
from loops.checkpoint.store import RunStore

CONSUMERS = {
    "hugging_face": "PEFT, transformers, datasets, scikit-learn",
    "rivals": "repeng, steering-vectors",
    "llama": "llama.cpp by llama-cpp-python",
    "programs": "llama.cpp's own program",
    "pointers": "scikit-learn, BERTopic",
}


def main() -> None:
    """Try the consumers, keep their rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interop", description=__doc__)
    parser.add_argument("run", help="a run with a round that steers alone and a newest one with an adapter")
    parser.add_argument(
        "--consumer", action="append", choices=[*CONSUMERS], help="only this one; may be repeated"
    )
    parser.add_argument("--written", type=int, default=WRITTEN, help="passages that every generator writes")
    parser.add_argument("--folder", type=Path, help="where exports lie; by default a temporary folder")
    chosen = parser.parse_args()
    try:
        store = RunStore.open(find_run(chosen.run))
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    numbers = [number for number in store.rounds() if number]
    adapted = [number for number in numbers if store.load(number).concept.adapter is not None]
    steered = [number for number in numbers if number not in adapted]
    if not adapted or not steered:
        raise SystemExit(f"Error: {store.name} needs a round that steers alone and one with an adapter.")
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(store, folder, _say, steered[-1], adapted[-1], chosen.written)
        for name in chosen.consumer or CONSUMERS:
            _say(f"trying {CONSUMERS[name]}")
            found: list[Row] = []
            try:
                for each in importlib.import_module(f"benchmarks.interop.{name}").rows(bench):
                    found.append(each)
                    _keep(name, found)
            except ImportError as missing:
                _say(f"{CONSUMERS[name]}: not tried, {missing}")


def _keep(part: str, found: list[Row]) -> None:
    """Put a consumer's rows in the place of those that it had."""
    rows = with_earlier(
        [{**each, "part": part} for each in found], lambda row: row["part"], RESULTS / "interop.json"
    )
    order = [*CONSUMERS]
    path = write_results(
        "interop",
        sorted(rows, key=lambda each: order.index(each["part"])),
        ["python", "-m", "benchmarks.interop", *sys.argv[1:]],
    )
    _say(f"{len(found)} rows in {path.name}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
