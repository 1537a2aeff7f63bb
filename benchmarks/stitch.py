"""`python -m benchmarks.stitch RUN ...`: what `basin stitch` and `basin match` found in runs, as results.

A row for every pair of models, concept and vector goes into results/stitch.json. Where `basin match --compare` was run
in the other model, a row also has that match's overlap with the concept refined there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from agent.errors import BasinError
from agent.files.checked import DamagedError
from benchmarks.results import Value, write_results
from loops.checkpoint.find import find_run
from loops.checkpoint.schema import read_sealed
from loops.checkpoint.store import RunStore
from loops.transfer.evaluate import MEASURED
from loops.transfer.match import MATCHES
from loops.transfer.stitch import STITCHES, TABLE, file_name


def main(runs: list[str]) -> None:
    """Collect and keep."""
    try:
        rows = [row for name in runs for row in rows_of(RunStore.open(find_run(name)))]
        if not rows:
            raise BasinError(
                "None of these runs was stitched to anything; `basin stitch RUN --to MODEL` does it."
            )
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    path = write_results("stitch", rows, ["python", "-m", "benchmarks.stitch", *runs])
    print(f"{len(rows)} rows in {path.name}", file=sys.stderr)


def rows_of(store: RunStore) -> list[dict[str, Value]]:
    """A row for every vector of every stitching of a run. Raises `BasinError` for a damaged file."""
    rows: list[dict[str, Value]] = []
    for folder, told in saved_stitches(store):
        measured = _read(folder / MEASURED)
        judged = {(row["model"], row["vector"]): row for row in measured.get("rows", [])}
        compared = _compared(store, str(told["to"]))
        for row in told["rows"]:
            gold = judged.get((row["model"], row["vector"]), {})
            rows.append(
                {"method": row["vector"], **{each: measured.get(each) for each in ("concept", "corpus")}}
                | row
                | {key: value for key, value in gold.items() if key.startswith("ratio_")}
                | {"soft_jaccard_with_native": compared}
            )
    return rows


def saved_stitches(store: RunStore) -> list[tuple[Path, dict[str, Any]]]:
    """The folder and the table of every stored stitching. Raises `BasinError` for a damaged one."""
    found = []
    for file in sorted((store.path / STITCHES).glob(f"*/{TABLE}")):
        try:
            found.append((file.parent, read_sealed(store.path, file.relative_to(store.path).as_posix())))
        except DamagedError as damage:
            raise BasinError(f"{file} is damaged ({damage}); `basin stitch` writes it again.") from None
    return found


def _compared(store: RunStore, into: str) -> float | None:
    """Soft Jaccard of the newest match in a model with the concept that was refined there."""
    for file in sorted((store.path / MATCHES).glob(f"{file_name(into)}_round_*.json"), reverse=True):
        if compared := _read(file).get("compared"):
            return compared["match"]
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise BasinError(f"{file} is damaged; make it again.") from None


if __name__ == "__main__":
    typer.run(main)
