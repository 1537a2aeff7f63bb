"""A process of its own that feeds one reader, and leaves on record what it is at: its death tells which input it was."""

from __future__ import annotations

import hashlib
import mmap
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from benchmarks.fuzzing.targets import COMMANDS, TARGETS, Target
from benchmarks.fuzzing.watching import Failed, minimised, survive, way_of

HEADER = struct.Struct("<QQQI")
RECORD_BYTES = 1 << 20
MEMORY = 3 << 30
"""Bytes that a worker may map besides what it begins with; beyond that Python's own MemoryError is the failure."""
DRAWN = 0.05
"""Share of inputs that Hypothesis draws; it is slower by an order, and looks at edges."""
AT_ONCE = 1000
MOST_FAILURES = 20
"""Of different kinds or places; then a reader is given up."""


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """What and where, to the file that keeps the input."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


class Record:
    """Counts and the input in hand, in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(RECORD_BYTES))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), RECORD_BYTES)

    def write(self, tally: Tally, content: bytes) -> None:
        kept = content[: RECORD_BYTES - HEADER.size]
        self._memory[HEADER.size : HEADER.size + len(kept)] = kept
        HEADER.pack_into(self._memory, 0, tally.inputs, tally.read, tally.refused, len(kept))

    def read(self) -> tuple[int, int, int, bytes]:
        inputs, read, refused, size = HEADER.unpack_from(self._memory, 0)
        return inputs, read, refused, bytes(self._memory[HEADER.size : HEADER.size + size])


def work(
    name: str, seed: int, first: int, inputs: int, seconds: float, record: Path, failures: Path
) -> Tally:
    """Feed the reader inputs from number `first` up to `inputs`, or as many as fit into the time; keep what fails."""
    target = TARGETS[name]
    if target not in COMMANDS:
        limit = _mapped() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        worker = _Worker(target, Record(record), Path(scratch), failures)
        begin, used = time.monotonic(), time.process_time()
        drawn = int((inputs - first) * DRAWN)
        for number in range(first, inputs - drawn):
            if time.monotonic() - begin > seconds * (1 - DRAWN):
                break
            worker.try_kept(target.input(seed, number))
        worker.draw(seed + first, drawn, begin + seconds)
        worker.tally.seconds = time.monotonic() - begin
        worker.tally.cpu_seconds = time.process_time() - used
        worker.tally.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return worker.tally


class _Worker:
    def __init__(self, target: Target, record: Record, scratch: Path, failures: Path) -> None:
        self.target, self.record, self.scratch, self.failures = target, record, scratch, failures
        self.tally = Tally()

    def try_one(self, content: bytes) -> None:
        """Raises `Failed`."""
        self.record.write(self.tally, content)
        self.tally.inputs += 1
        if survive(self.target.check, content, self.scratch) == "read":
            self.tally.read += 1
        else:
            self.tally.refused += 1

    def try_kept(self, content: bytes) -> None:
        """Try one; make a failing one smaller and keep it, unless one like it has been kept."""
        try:
            self.try_one(content)
        except Failed as failure:
            if str(failure) not in self.tally.failures:
                smaller = minimised(self.target.check, content, self.scratch, way_of(failure))
                self._keep(failure, smaller)

    def draw(self, seed: int, inputs: int, end: float) -> None:
        """Let Hypothesis draw inputs, some hundreds at a time; it makes failing ones smaller itself."""
        done = 0
        while done < inputs and time.monotonic() < end:
            last: list[bytes] = []
            count = min(AT_ONCE, inputs - done)
            options = {
                "max_examples": count,
                "database": None,
                "deadline": None,
                "suppress_health_check": list(HealthCheck),
                "phases": (Phase.generate, Phase.shrink),
            }
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    seeded(seed * 1_000_003 + done)(
                        settings(**options)(given(self.target.strategy)(self._remembering(last)))
                    )()
            except Failed as failure:
                self._keep(failure, last[0])
            except BaseExceptionGroup as several:
                self._keep(next(each for each in several.exceptions if isinstance(each, Failed)), last[0])
            done += count

    def _remembering(self, last: list[bytes]) -> Callable[[bytes], None]:
        def once(content: bytes) -> None:
            last[:] = [content]
            self.try_one(content)

        return once

    def _keep(self, failure: Failed, content: bytes) -> None:
        path = keep(self.target.name, failure.kind, content, self.failures)
        self.tally.failures.setdefault(str(failure), path.name)
        print(f"{self.target.name}: {failure}: kept as {path.name}", file=sys.stderr, flush=True)
        if len(self.tally.failures) >= MOST_FAILURES:
            raise SystemExit(f"{self.target.name}: too many failures")


def keep(target: str, kind: str, content: bytes, folder: Path) -> Path:
    """Keep a failing input, as a case for tests/faults/test_fuzz.py."""
    path = folder / target / f"{kind}-{hashlib.sha256(content).hexdigest()[:10]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _mapped() -> int:
    """Bytes of address space in use."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
