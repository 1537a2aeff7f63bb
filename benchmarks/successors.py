"""`python -m benchmarks.successors CHAIN ...`: what `basin succeed` found, a row for every hand-over.

A chain is the folder that `basin succeed` wrote, or its name among the runs. Average precision is of held-out readings against
gold labels, as `received` in the successor's own activations and as its last round left it; `before` is the predecessor's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from benchmarks.results import Value, write_results
from loops.runs import checkpoints_folder
from loops.succession_measuring import MEASURED
from loops.successors import CHAIN, read_rows

LEFT_OUT = ("refusals", "sentence", "certificate")
PRECISION = ("ap_received", "ap", "ap_ceiling", "ap_topic")


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.successors", description=__doc__)
    parser.add_argument("chains", nargs="+", metavar="CHAIN")
    chosen = parser.parse_args(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        rows = [row for name in chosen.chains for row in rows_of(_folder(name))]
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    path = write_results("successors", rows, ["python", "-m", "benchmarks.successors", *given])
    print(
        f"{len(rows)} rows in {path.name}; `python -m benchmarks.render` makes the page of them",
        file=sys.stderr,
    )


def rows_of(folder: Path) -> list[dict[str, Value]]:
    """A row for the first run, then one for every hand-over.

    Raises `BasinError` where the folder holds no finished chain.
    """
    handed, measured = (read_rows(folder, name) for name in (CHAIN, MEASURED))
    if not measured:
        raise BasinError(
            f"Chain {folder.name} was not measured against gold labels: `basin succeed` does it at its end."
        )
    by_run = {each["run"]: each for each in measured}
    first = measured[0]
    chain = folder.name.removeprefix("chain-")
    rows: list[dict[str, Value]] = [
        {
            "method": f"{first['run']}",
            "chain": chain,
            "to_model": first["model"],
            "by": "pointer",
            "accepted": True,
        }
        | _precision(first, None)
    ]
    for row in handed:
        told = {key: value for key, value in row.items() if key not in LEFT_OUT}
        before = by_run.get(row["from_run"])
        rows.append(
            {"method": row["to_run"], "chain": chain, **told}
            | {"refused_because": "; ".join(row["refusals"]) or None}
            | _precision(by_run.get(row["to_run"]), before)
        )
    return rows


def _precision(measured: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for suffix in ("", "_pooled"):
        found[f"ap_before{suffix}"] = before and before[f"ap{suffix}"]
        found |= {f"{name}{suffix}": measured and measured[f"{name}{suffix}"] for name in PRECISION}
    return found


def _folder(name: str) -> Path:
    for folder in (Path(name), checkpoints_folder() / name):
        if (folder / CHAIN).exists():
            return folder
    raise BasinError(
        f"There is no chain {name!r} in {checkpoints_folder()}; `basin succeed CONFIG` makes one."
    )


if __name__ == "__main__":
    main()
