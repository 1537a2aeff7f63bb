"""Lives: a process that runs one `basin` command, forked from one that has imported everything or started afresh.

A forked life takes a second or two where a fresh one spends ten on imports; both run `loops.cli.main.main` from its beginning.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.torture.hook import PLAN, Marks

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600
"""Seconds after which a life counts as hung."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Ended:
    """How a life ended."""

    status: int
    """Exit status; negative: the signal that ended it."""
    seconds: float
    phase: str
    lost: float
    """Seconds between the last unit of work that was kept, or the end of the imports, and the end."""
    first: float | None
    """Seconds from the end of the imports to the first unit that was kept."""
    said: str


@dataclass(frozen=True)
class Sight:
    """What is seen of a life from outside."""

    pid: int
    passed: float
    """Seconds since it began."""
    phase: str
    entered: int
    """How often it was in this phase, this time included."""
    stopped: bool
    """By SIGSTOP: it waits at a place that it was told to wait at."""


Moment = Callable[[Sight], bool]
"""Whether to kill now; it may do something else to the process instead."""


class Nursery:
    """Forks lives from a process that has imported what a run needs. Used as a context."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        command = [sys.executable, "-m", "benchmarks.torture.nursery"]
        environment = {**os.environ, **ONE_THREAD}
        environment.pop(PLAN, None)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stdin is not None
        assert self.process.stdout.readline() == "ready\n", "the nursery could not import the project"

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def live(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        plan: dict[str, Any] | None = None,
        moment: Moment | None = None,
    ) -> Ended:
        """One life; `moment` says when it is killed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        log, plan = self.folder / "said.txt", {"marks": str(self.folder / "marks"), **(plan or {})}
        marks = Marks(self.folder / "marks")
        marks.write(began=0.0, first=0.0, last=0.0, entered=0, phase="starting")
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "plan": plan,
            "log": str(log),
        }
        begin = time.monotonic()
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        killed = _watch(pid, marks, begin, moment)
        status = int(self.process.stdout.readline())
        return _ended(status, killed, begin, marks, log)


def fresh(
    folder: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    plan: dict[str, Any] | None = None,
    moment: Moment | None = None,
    longest: float = LONGEST,
) -> Ended:
    """One life as a user starts it: a new Python that imports everything; it is watched from the loop's import on."""
    folder.mkdir(parents=True, exist_ok=True)
    log, marks = folder / "said.txt", Marks(folder / "marks")
    marks.write(began=0.0, first=0.0, last=0.0, entered=0, phase="starting")
    plan = {"marks": str(folder / "marks"), **(plan or {})}
    site = str(Path(__file__).parent / "site")
    begin = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "loops.cli", *arguments],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            env={
                **os.environ,
                **ONE_THREAD,
                **environment,
                PLAN: json.dumps(plan),
                "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
            },
        )
        killed = _watch(process.pid, marks, begin, moment, process, longest)
        status = process.wait()
    return _ended(status, killed, begin, marks, log)


def _watch(
    pid: int,
    marks: Marks,
    begin: float,
    moment: Moment | None,
    process: subprocess.Popen | None = None,
    longest: float = LONGEST,
) -> float | None:
    """Look at a life until it ends or the moment has come; when it was killed."""
    while (state := _state(pid, process)) is not None:
        _, _, _, entered, phase = marks.read()
        now = time.monotonic()
        sight = Sight(pid, now - begin, phase, entered, state == b"T")
        if now - begin > longest or (moment and moment(sight)):
            os.kill(pid, signal.SIGKILL)
            return now
        time.sleep(0.004)
    return None


def _state(pid: int, process: subprocess.Popen | None) -> bytes | None:
    """The letter that the system has for what a process does; None when it has ended."""
    if process is not None and process.poll() is not None:
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            state = stream.read().rpartition(b")")[2].split()[0]
    except OSError:
        return None
    return None if state == b"Z" and process is None else state


def _ended(status: int, killed: float | None, begin: float, marks: Marks, log: Path) -> Ended:
    began, first, last, _, phase = marks.read()
    end = killed or time.monotonic()
    began = began or end  # it was killed before there was anything to do
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return Ended(
        status,
        end - begin,
        phase,
        max(0.0, end - max(last, began)),
        first - began if first else None,
        said,
    )
