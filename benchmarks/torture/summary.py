"""What was measured, as rows of results/torture.json: one row that says it all, then stages, faults, soak and costs."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import RESULTS, write_results
from benchmarks.torture import kept

Row = dict[str, Any]


def rows(folder: Path, results: Path = RESULTS) -> list[Row]:
    """All rows; what was not measured yet is missing or None."""
    kills = [
        {**row, "fresh": part == "fresh"} for part in ("kills", "fresh") for row in kept.rows(folder, part)
    ]
    runs = [row for part in ("kills", "fresh") for row in kept.rows(folder, f"{part}-runs")]
    faults = list({row["fault"]: row for row in kept.rows(folder, "faults")}.values())  # the last try of each
    overhead = kept.rows(folder, "overhead")
    soak = kept.rows(folder, "soak-summary")
    whole = {row["run"] for row in runs if row["identical"]}
    lost = [row["lost"] for row in kills]
    everything: Row = {
        "tool": "basin",
        "what": "all",
        "kills": len(kills),
        "identical": sum(row["run"] in whole for row in kills),
        "runs": len(runs),
        "runs_identical": len(whole),
        "fresh_processes_killed": sum(row["fresh"] for row in kills),
        "work_lost_s_median": statistics.median(lost) if lost else None,
        "work_lost_s_max": max(lost, default=None),
        **_from_elsewhere(results),
        "faults_injected": len(faults),
        "faults_survived": sum(row["survived"] for row in faults),
        "checkpoint_overhead": next((row["share"] for row in overhead if row["of"] == "real round"), None),
    }
    return [
        everything,
        *_by_phase(kills, whole),
        *({"tool": "basin", "what": "fault", **row} for row in faults),
        *({"tool": "basin", "what": "soak", **row} for row in soak),
        *({"tool": "basin", "what": "overhead", **row} for row in overhead),
    ]


def _by_phase(kills: Sequence[Mapping[str, Any]], whole: set[str]) -> list[Row]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in kills:
        groups[row["phase"], row["method"]].append(row)
    return [
        {
            "tool": "basin",
            "what": "kill",
            "phase": phase,
            "method": method,
            "kills": len(group),
            "identical": sum(row["run"] in whole for row in group),
            "work_lost_s_median": statistics.median(row["lost"] for row in group),
            "work_lost_s_max": max(row["lost"] for row in group),
        }
        for (phase, method), group in sorted(groups.items())
    ]


def _from_elsewhere(results: Path) -> Row:
    """What other benchmarks count: damaged checkpoints, and malformed input."""
    damages, fuzz = _table(results / "damages.json"), _table(results / "fuzz.json")

    def total(table: Sequence[Row], name: str) -> int | None:
        """Of the last row, which is of all."""
        return table[-1].get(name) if table else None

    return {
        "damaged": total(damages, "damaged"),
        "silently_loaded": total(damages, "silently_loaded"),
        "fuzz_inputs": total(fuzz, "fuzz_inputs"),
        "tracebacks": total(fuzz, "tracebacks"),
    }


def _table(file: Path) -> list[Row]:
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))["rows"])
    except (OSError, ValueError, KeyError):
        return []


def show(found: Sequence[Row], console: Console) -> None:
    """Two tables: kills by phase, and the rest."""
    phases = Table("phase", "method", "kills", "identical", "lost, median s", "worst s", title="Kills")
    for row in found:
        if row["what"] == "kill":
            numbers = (f"{row[name]:.2f}" for name in ("work_lost_s_median", "work_lost_s_max"))
            phases.add_row(row["phase"], row["method"], str(row["kills"]), str(row["identical"]), *numbers)
    console.print(phases)
    rest = Table("what", "", title="Else")
    for row in found:
        if row["what"] not in ("kill", "all"):
            rest.add_row(row["what"], ", ".join(f"{key} {row[key]}" for key in list(row)[2:]))
    console.print(rest)
    for key, value in list(found[0].items())[2:]:
        console.print(f"{key}: {value}")


def write(found: Sequence[Row], results: Path = RESULTS) -> None:
    write_results("torture", found, ["python", "-m", "benchmarks.torture"], results)
