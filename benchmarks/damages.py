"""Damage copies of a run in every way there is; count what is loaded without a word: `python -m benchmarks.damages`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from agent.errors import BasinError
from benchmarks.results import Value, write_results
from benchmarks.torture.damages import become, damages, read_all

RUN = Path(__file__).resolve().parents[1] / "tests" / "stored_runs" / "format_5"
"""A small run, with an adapter and steering vectors, as the loop wrote it."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.damages", description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=RUN, help="the run whose copies are damaged")
    parser.add_argument("--results", type=Path, help="another folder for the rows")
    chosen = parser.parse_args(arguments)
    try:
        rows = count(chosen.run)
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    given = [] if chosen.run == RUN else [str(chosen.run)]
    command = ["python", "-m", "benchmarks.damages", *given]
    where = {} if chosen.results is None else {"folder": chosen.results}
    path = write_results("damages", rows, command, **where)
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()), file=sys.stderr)
    print(f"{len(rows)} rows in {path.name}", file=sys.stderr)
    if rows[-1]["silently_loaded"]:
        raise SystemExit(1)


def count(run: Path) -> list[dict[str, Value]]:
    """A row for each kind of damage, and one of all of them."""
    whole = read_all(run)
    kinds: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for damage in damages(run):
            place = Path(folder, "place")
            copy = place / run.name
            shutil.copytree(run, copy)
            damage.apply(copy)
            outcome, _ = become(copy, whole)
            if outcome == "silent":
                print(f"loaded without a word: {damage.name}", file=sys.stderr)
            kinds.setdefault(damage.kind, Counter())[outcome] += 1
            shutil.rmtree(place)
    kinds["all"] = sum(kinds.values(), Counter())
    return [
        {
            "tool": "basin",
            "kind": kind,
            "damaged": found.total(),
            "refused": found["refused"],
            "told": found["told"],
            "unharmed": found["unharmed"],
            "silently_loaded": found["silent"],
        }
        for kind, found in kinds.items()
    ]


if __name__ == "__main__":
    main()
