"""Average precision round by round: `python -m benchmarks.run CONFIG_OR_RUN...`.

A config is run in a process of its own, so that its peak of memory is its own; an existing run is only measured.
Writes results/run.json, where rows of other corpora stay.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.errors import BasinError
from benchmarks.results import RESULTS, with_earlier, write_results
from loops.checkpoint.find import find_run, fresh_path
from loops.checkpoint.store import RunStore
from loops.evaluation.measure import measure, stored_rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, measure, write the results, and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("what", nargs="+", metavar="CONFIG_OR_RUN", help="a YAML file, or a run to measure")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    chosen = parser.parse_args(arguments)
    try:
        stores = [RunStore.open(_run_folder(what, chosen.set)) for what in chosen.what]
        rows = [row for store in stores for row in _rows(store)]
    except BasinError as error:
        raise SystemExit(f"Error: {error}") from None
    command = ["python", "-m", "benchmarks.run", *(sys.argv[1:] if arguments is None else arguments)]
    if not rows:
        raise SystemExit("Error: none of these corpora has gold labels, so there is nothing to keep.")
    rows = with_earlier(rows, lambda row: (row["corpus"], row["concept"]), RESULTS / "run.json")
    print(f"{len(rows)} rows in {write_results('run', rows, command).name}", file=sys.stderr)


def _rows(store: RunStore) -> list[dict]:
    rows = stored_rows(store)
    return measure(store) if rows is None else rows


def _run_folder(what: str, settings: Sequence[str]) -> Path:
    """The folder of a run that is there, or of a new one made from a configuration."""
    if Path(what).suffix not in (".yaml", ".yml"):
        if settings:
            raise BasinError(f"{what} is a run that is there already; --set needs a configuration.")
        return find_run(what)
    path = fresh_path(f"benchmark-{Path(what).stem}").resolve()
    command = [sys.executable, "-m", "loops.cli", "run", what, "--name", str(path)]
    for setting in settings:
        command += ["--set", setting]
    if subprocess.run(command, check=False).returncode:
        raise BasinError(f"The run of {what} failed, as it says above; nothing was kept.")
    return path


if __name__ == "__main__":
    main()
