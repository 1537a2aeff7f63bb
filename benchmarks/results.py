"""How a benchmark is kept: `results/NAME.json`, flat rows under a header that says how they came about."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loops.checkpoint.provenance import PROJECT, cores, git, versions

RESULTS = Path(__file__).parent / "results"
NAMING = ("method", "generator", "tool", "architecture")

Value = float | int | str | bool | None


def write_results(
    name: str, rows: Sequence[Mapping[str, Value]], command: Sequence[str], folder: Path = RESULTS
) -> Path:
    """Write `rows` to `folder/NAME.json`, replacing what an earlier run of the benchmark left there.

    Args:
        rows: flat: every value a number, string, boolean or None; one of `method`, `generator`, `tool`, `architecture` named.
            A number that is not finite is kept as None, because JSON has no other.
        command: what was typed, as a list of arguments; a path outside the repository loses its folders.

    Raises:
        ValueError: no rows, a row that is not flat, or one that does not name what was measured.
    """
    if not rows:
        raise ValueError(f"benchmark {name} has no rows")
    content = {"header": header(command), "rows": [_flat(name, row) for row in rows]}
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(_lines(content), encoding="utf-8")
    os.replace(temporary, path)
    return path


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with a row a line, so that a change of one row is one line."""
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in content["rows"])
    return f'{{"header": {json.dumps(content["header"], ensure_ascii=False)}, "rows": [\n{rows}\n]}}\n'


def with_earlier(
    rows: Sequence[Mapping[str, Any]], same: Callable[[Mapping[str, Any]], Hashable], path: Path
) -> list[dict[str, Any]]:
    """The rows that `path` holds of something else, then these; `same` is alike for rows that measured the same thing."""
    measured = {same(row) for row in rows}
    earlier = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return [*(row for row in earlier if same(row) not in measured), *map(dict, rows)]


def header(command: Sequence[str]) -> dict[str, Any]:
    """Commit, versions, machine and command; no host name, no user and no path outside the repository."""
    return {
        "command": " ".join(_without_place(argument) for argument in command),
        "commit": commit(),
        "versions": {name: number for name, number in versions().items() if number != "missing"},
        "machine": machine(),
    }


def commit() -> str:
    """Short hash of the code that ran, with `+` when tracked files differ; `unknown` outside a repository."""
    short = git("rev-parse", "--short=10", "HEAD")
    # The results themselves change with every benchmark and are no change of the code.
    others = (":!benchmarks/results", ":!benchmarks/reading", ":!benchmarks/*.md", ":!benchmarks/*.png")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    return f"{short}{'+' if changed else ''}" if short else "unknown"


def machine() -> str:
    """Processor, cores this process may use, memory in GiB, accelerator and operating system."""
    parts = [_processor(), f"{cores()} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    parts += [*_accelerators(), platform.system()]
    return ", ".join(parts)


def _flat(name: str, row: Mapping[str, Value]) -> dict[str, Value]:
    nested = [key for key, value in row.items() if not isinstance(value, Value)]
    if nested:
        raise ValueError(f"benchmark {name}: {', '.join(nested)} is not a plain number, string or boolean")
    if not any(row.get(key) for key in NAMING):
        raise ValueError(f"benchmark {name}: a row names none of {', '.join(NAMING)}")
    return {key: _number(value) if isinstance(value, float) else value for key, value in row.items()}


def _number(value: float) -> float | None:
    """Seven significant digits; None for what JSON does not have."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _without_place(argument: str) -> str:
    key, equals, value = argument.rpartition("=")  # --option=/some/path
    path = Path(value)
    if not path.is_absolute():
        return argument
    inside = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path.name
    return f"{key}{equals}{inside}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.machine()


def _accelerators() -> list[str]:
    import torch  # imported here: rendering must not wait for it

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def resident(what: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` at most; a child's `ru_maxrss` would begin with its parent's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {what} in /proc/self/status")
