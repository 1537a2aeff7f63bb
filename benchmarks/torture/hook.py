"""What runs inside a process that is tortured: it tells where the process is, and can end it at an exact place.

Nothing here is product code. A forked process calls `arm`; a fresh one finds `arm_when_ready` through `site/sitecustomize.py`.
The marks are a few bytes of shared memory in a file: they outlive SIGKILL, which is the point.
"""

from __future__ import annotations

import functools
import importlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAN = "BASIN_TORTURE"
LAYOUT = struct.Struct("dddi40s")
"""When the process began, kept its first unit and its last (monotonic seconds), how often the phase was entered, its name."""
PHASES = {
    "topics": ("loops.round.pointer", "fit_topics"),
    "preparing": ("loops.refine", "prepare"),
    "reading the corpus": ("loops.round.context", "record_cached"),
    "generation": ("loops.refine", "_write"),
    "coherence": ("loops.refine", "_checked"),
    "recording": ("loops.refine", "_read"),
    "re-clustering": ("loops.refine", "_redraw"),
    "steering": ("loops.refine", "_update"),
    "training": ("loops.refine", "train_adapter"),
    "saving": ("loops.checkpoint.store", "RunStore.save"),
    "certifying": ("loops.refine", "certify_run"),
}


class Marks:
    """Where a process is, in shared memory."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(LAYOUT.size))
        with file.open("r+b") as stream:
            self.memory = mmap.mmap(stream.fileno(), LAYOUT.size)

    def read(self) -> tuple[float, float, float, int, str]:
        began, first, last, entered, name = LAYOUT.unpack(self.memory[:])
        return began, first, last, entered, name.rstrip(b"\0").decode()

    def write(self, **changes: Any) -> None:
        names = ("began", "first", "last", "entered", "phase")
        values = dict(zip(names, self.read(), strict=True)) | changes
        self.memory[:] = LAYOUT.pack(*(values[name] for name in names[:-1]), values["phase"].encode())


def arm(plan: dict[str, Any]) -> None:
    """Mark phases and kept units, save the trainer's state often, and die where the plan says.

    Args:
        plan: `marks`, a file. All else is optional. `die`: see `_Place`. `keep_every`: seconds between the states that a
            trainer keeps. `brief`: leave out pages and pictures. `headroom`: bytes that may be allocated from when the corpus
            is read on. `samples`: a file for a row of what the process holds after every round.
    """
    marks = Marks(Path(plan["marks"]))
    marks.write(began=time.monotonic(), first=0.0, last=0.0, entered=0, phase="starting")
    place = _Place(**plan["die"]) if plan.get("die") else None
    _watch_system_calls(marks, place)
    _watch_phases(marks, place)
    if keep_every := plan.get("keep_every"):
        importlib.import_module("agent.adapting.trainer_state").SECONDS_BETWEEN_SAVES = keep_every
    if plan.get("brief"):
        importlib.import_module("loops.report.terminal").report_run = lambda *_: None
    if headroom := plan.get("headroom"):
        _limit_memory(headroom)
    if samples := plan.get("samples"):
        _sample_rounds(Path(samples))


@dataclass
class _Place:
    """An exact place at which the process sends itself a signal."""

    call: str
    """`rename`, `fsync`, or a phase."""
    number: int
    """Which of them, from 1."""
    after: bool = False
    """Rather than before it."""
    match: str = ""
    """Only renames to names with this in them are counted."""
    signal: int = signal.SIGKILL
    """SIGSTOP waits for whoever watches from outside, who does something and lets it go on."""
    count: int = 0

    def counts(self, call: str, target: str = "") -> bool:
        """Whether this call is the one; counts it."""
        if call != self.call or self.match not in target:
            return False
        self.count += 1
        return self.count == self.number

    def strike(self) -> None:
        os.kill(os.getpid(), self.signal)


def _watch_system_calls(marks: Marks, place: _Place | None) -> None:
    def watched(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def within(*arguments: Any, **options: Any) -> Any:
            here = place is not None and place.counts(kind, str(arguments[-1]))
            if here and not place.after:
                place.strike()
            result = call(*arguments, **options)
            if kind == "rename" and _is_unit(str(arguments[1])):
                now = time.monotonic()
                marks.write(last=now, first=marks.read()[1] or now)
            if here and place.after:
                place.strike()
            return result

        return within

    os.rename, os.replace = watched("rename", os.rename), watched("rename", os.replace)
    os.fsync = watched("fsync", os.fsync)


def _is_unit(target: str) -> bool:
    """Whether what was renamed is work that is kept; of a trainer's state only its last file says so."""
    if "/checkpoint-" in target:
        return target.endswith("whole.json")
    return any(part in target for part in ("/round_", "/written/", "/read/", "/topics/", "/activations/"))


def _watch_phases(marks: Marks, place: _Place | None) -> None:
    entered: Counter[str] = Counter()
    trace = os.environ.get(f"{PLAN}_TRACE")

    def watched(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def within(*arguments: Any, **options: Any) -> Any:
            entered[phase] += 1
            outer, begin = marks.read()[3:], time.monotonic()
            marks.write(phase=phase, entered=entered[phase])
            here = place is not None and place.counts(phase)
            if here and not place.after:
                place.strike()
            try:
                return function(*arguments, **options)
            finally:
                if here and place.after:
                    place.strike()
                marks.write(entered=outer[0], phase=outer[1])
                if trace:
                    with open(trace, "a") as stream:
                        stream.write(json.dumps([phase, entered[phase], time.monotonic() - begin]) + "\n")

        return within

    for phase, (module, path) in PHASES.items():
        owner: Any = importlib.import_module(module)
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, name, watched(phase, getattr(owner, name)))


def _limit_memory(headroom: int) -> None:
    """From the first real text on, the operating system gives this process so many bytes more and refuses the rest."""
    setting = importlib.import_module("loops.round.context")
    read = setting.record_cached

    def within(*arguments: Any, **options: Any) -> Any:
        with open("/proc/self/statm") as stream:
            limit = int(stream.read().split()[0]) * resource.getpagesize() + headroom
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return read(*arguments, **options)

    setting.record_cached = within


def _sample_rounds(file: Path) -> None:
    """After every round: memory of its own (pages of files come and go), open files, threads, and what lies on disk."""
    store = importlib.import_module("loops.checkpoint.store").RunStore
    save = store.save

    def within(self: Any, record: Any, *arguments: Any) -> None:
        save(self, record, *arguments)
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        everything = [each for each in self.path.rglob("*") if each.is_file()]
        own = [each for each in everything if f"round_{record.round:03d}" in each.parts]
        row = {
            "round": record.round,
            "seconds": time.monotonic(),
            "memory_mb": int(status["RssAnon"].split()[0]) / 1024,
            "open_files": len(os.listdir("/proc/self/fd")),
            "threads": int(status["Threads"]),
            "round_kb": sum(each.stat().st_size for each in own) / 1024,
            "other_kb": sum(
                each.stat().st_size
                for each in everything
                if not each.relative_to(self.path).parts[0].startswith("round_")
            )
            / 1024,
        }
        with file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")

    store.save = within


def arm_when_ready() -> None:
    """In a fresh process: arm as soon as the loop is imported, which is after Python's own start."""
    plan = json.loads(os.environ[PLAN])

    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            if name != "loops.refine":
                return None
            sys.meta_path.remove(self)
            found = importlib.util.find_spec(name)
            run = found.loader.exec_module

            def then_arm(module: Any) -> None:
                run(module)
                sys.modules[name] = module
                arm(plan)

            found.loader.exec_module = then_arm
            return found

    import importlib.util

    sys.meta_path.insert(0, Finder())
