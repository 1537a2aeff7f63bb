"""The refiner and other methods over a suite of concepts: `python -m benchmarks.membership [--suite FILE]`.

Shares its folder of finished rows with `basin evaluate membership`, so either resumes the other. Writes
results/membership.json, or a file named after another suite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.errors import BasinError
from benchmarks.results import write_results
from loops.checkpoint.find import checkpoints_folder
from loops.evaluation.membership.evaluate import evaluate_membership
from loops.evaluation.membership.suite import SUITE_FILE, load_suite


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate, write the results, and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.membership", description=__doc__)
    parser.add_argument("--corpus", action="append", default=[], metavar="NAME", help="only this corpus")
    parser.add_argument("--method", action="append", default=[], metavar="NAME", help="only this method")
    parser.add_argument("--seeds", type=int, default=3, help="topic models and splits of each corpus")
    parser.add_argument("--suite", type=Path, default=SUITE_FILE, metavar="FILE", help="corpora and concepts")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where finished rows are kept")
    chosen = parser.parse_args(arguments)
    if chosen.seeds < 1:
        parser.error("--seeds must be at least 1")
    name = chosen.suite.stem.replace("suite", "membership")
    folder = chosen.out or checkpoints_folder() / name
    try:
        whole = load_suite(chosen.suite)
        rows = evaluate_membership(whole, chosen.method, range(chosen.seeds), folder, only=chosen.corpus)
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    if not rows:
        raise SystemExit("Error: no corpus of these is here and has gold labels: nothing to keep.")
    command = ["python", "-m", "benchmarks.membership", *(sys.argv[1:] if arguments is None else arguments)]
    path = write_results(name, rows, command)
    print(f"{len(rows)} rows in {path.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
