"""What can be seen of a run from outside, read off its files while another process writes them.

Nothing here loads a model or takes the run's lock, so looking costs the run nothing; a file that is missing, half
a line or from an older Basin is only less to show.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import BasinError, printable
from agent.files.checked import MEGABYTE, DamagedError, parse_json, read_inside
from loops.checkpoint import fields as check
from loops.checkpoint.atomic import is_held, is_whole
from loops.checkpoint.fields import SAMPLE, checked_numbers
from loops.checkpoint.schema import MOST

STATUS = "progress.json"
SECONDS_BETWEEN = 1.0
"""The file is replaced at most this often."""


class StatusFile:
    """Facts about the work, told one by one and written together; `None` for a path writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.facts: dict[str, Any] = {"pid": os.getpid(), "host": socket.gethostname(), "begun": now()}
        self.due = 0.0

    def tell(self, *, at_once: bool = False, **facts: Any) -> None:
        """Note some facts; the file follows when it is due, or at once."""
        self.facts |= facts
        if self.path is None or (time.monotonic() < self.due and not at_once):
            return
        self.due = time.monotonic() + SECONDS_BETWEEN
        content = json.dumps({**self.facts, "at": now(), "memory_gb": memory_gigabytes()})
        draft = self.path.with_name(f".{self.path.name}.tmp-{os.getpid()}")
        with suppress(OSError, ValueError):
            # Not synced, unlike what is part of a run: after a power cut nobody asks how far a stage was.
            draft.unlink(missing_ok=True)
            with draft.open("x", encoding="utf-8", errors="replace") as stream:  # never through a link
                stream.write(content)
            os.replace(draft, self.path)


def read_status(folder: Path) -> Mapping[str, Any] | None:
    """What the newest process that worked on a run says, or None where none did."""
    try:
        found = parse_json(read_inside(folder, STATUS, MEGABYTE), STATUS)
    except DamagedError:
        return None
    return found if isinstance(found, dict) else None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def memory_gigabytes(process: int | str = "self") -> float | None:
    """What a process of this machine holds now, in GB (1e9 bytes); its peak where only that is known, else None."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (OSError, ValueError, IndexError):
        if process != "self":
            return None
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    )


ROUND_FOLDER = re.compile(r"round_(\d{3,})")
BEGUN = re.compile(r"Run .+ in |Run .+ goes on$")
OVER = re.compile(r"(Converged: |Stopped: the run collapsed|Stopped after \d+ rounds)")
LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),\d+ (\w+) (.*)")
TAIL_BYTES = 64_000
PARTS = ("load", "generate", "coherence", "record", "recluster", "update", "adapt")
"""The parts of a round, in their order."""


@dataclass(frozen=True)
class RoundSeen:
    """A whole round: its numbers, what it cost, and what it wrote."""

    number: int
    metrics: Mapping[str, Any]
    cost: Mapping[str, float]
    samples: tuple[Mapping[str, Any], ...]

    @property
    def seconds(self) -> float:
        return sum(value for part, value in self.cost.items() if part != "peak_gb")


@dataclass(frozen=True)
class Counted:
    """A counted piece of work: so much of so much, and seconds so far."""

    name: str
    done: int
    total: int | None
    seconds: float

    @property
    def left(self) -> float | None:
        """Seconds, at the speed so far."""
        if not self.total or not 0 < self.done < self.total:
            return None
        return self.seconds / self.done * (self.total - self.done)


@dataclass(frozen=True)
class Seen:
    """A run at a moment."""

    name: str
    path: Path
    config: Mapping[str, Any]
    rounds: tuple[RoundSeen, ...]
    log: tuple[tuple[str, str], ...]
    """The last lines: time of day, sentence."""
    held: bool | None
    """Whether a process is writing; None where the file system cannot tell."""
    ended: str | None
    """The sentence that the loop ended with since it was last begun, or None."""
    status: Mapping[str, Any] | None
    certificate: str | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def alive(self) -> bool:
        """A process is writing, as far as can be told."""
        return self.held is not False and not (self.held is None and (self.ended or self.quiet > 600))

    @property
    def over(self) -> bool:
        """Nothing more will come of itself, and the run is whole."""
        return not self.alive and self.ended is not None

    @property
    def quiet(self) -> float:
        """Seconds since the files last changed."""
        times = [
            file.stat().st_mtime
            for name in ("run.log", "progress.json")
            if (file := self.path / name).exists()
        ]
        return self.now.timestamp() - max(times, default=self.now.timestamp())

    @property
    def working(self) -> Mapping[str, Any]:
        """What the process that is writing says about itself; empty where it says nothing."""
        return self.status if self.alive and self.status and self.status.get("ended") is None else {}

    @property
    def counts(self) -> tuple[Counted, ...]:
        """What is being counted, with the time that has passed since it was told."""
        late = seconds_since(self.working.get("at"), self.now) or 0.0
        counts = self.working.get("counts") or ()
        return tuple(
            Counted(str(each["name"]), each["done"], each["total"], each["seconds"] + late) for each in counts
        )

    @property
    def memory(self) -> float | None:
        """GB that the writing process holds: now, where it is of this machine, else when it last told."""
        if self.working.get("host") == socket.gethostname():
            return memory_gigabytes(self.working["pid"]) or self.working.get("memory_gb")
        return self.working.get("memory_gb")

    @property
    def round_left(self) -> float | None:
        """Seconds until the round in hand is whole, if its parts take as long as those of the newest round."""
        part, last = self.working.get("part"), self.rounds[-1].cost if len(self.rounds) > 1 else {}
        if part not in PARTS or part not in last or self.working.get("round") != len(self.rounds):
            return None
        spent = seconds_since(self.working.get("part_since"), self.now) or 0.0
        after = sum(last.get(each, 0.0) for each in PARTS[PARTS.index(part) + 1 :])
        return max(last[part] - spent, 0.0) + after

    @property
    def run_left(self) -> float | None:
        """Seconds if all rounds that are allowed are run; it may be still before."""
        if (this := self.round_left) is None:
            return None
        more = max(int(self.config.get("rounds", 0)) - len(self.rounds), 0)
        return this + more * self.rounds[-1].seconds


class Watcher:
    """Reads a run again and again; what cannot change is read once."""

    def __init__(self, path: Path) -> None:
        """Raises `BasinError` when there is no run there."""
        self.path = path
        if not (path / "run.json").is_file():
            inner = sorted(file.parent.name for file in path.glob("*/run.json"))
            hint = (
                f"it holds runs: name one, such as {path.name}/{inner[-1]}"
                if inner
                else "`basin run` makes one"
            )
            raise BasinError(f"{path} is not a run, it has no run.json; {hint}.")
        self.config = _read(path / "config.json") or {}
        self.known: dict[tuple[str, int], RoundSeen] = {}

    def look(self) -> Seen:
        """The run as it is now."""
        held = is_held(self.path)  # first: what is read after a writer let go is all that it wrote
        lines = _log(self.path / "run.log")
        begun = max((at for at, (_, text) in enumerate(lines) if BEGUN.match(text)), default=0)
        rounds = self._rounds()
        nothing = rounds[0].metrics.get("no_concept") if rounds else None
        ended = [text for _, text in lines[begun:] if OVER.match(text) or text == nothing]
        certificate = _read(self.path / "certificate.json") or {}
        of_newest = rounds and certificate.get("round") == rounds[-1].number
        return Seen(
            self.path.name,
            self.path,
            self.config,
            rounds,
            tuple(lines),
            held,
            ended[-1] if ended else None,
            read_status(self.path),
            str(certificate.get("sentence")) if of_newest else None,
        )

    def _rounds(self) -> tuple[RoundSeen, ...]:
        found = []
        for folder in sorted(self.path.glob("round_*")):
            match = ROUND_FOLDER.fullmatch(folder.name)
            try:
                key = folder.name, folder.stat().st_mtime_ns
            except OSError:
                continue
            if match and key not in self.known and is_whole(folder):
                self.known[key] = _round(folder, int(match[1]))
            if key in self.known:
                found.append(self.known[key])
        return tuple(sorted(found, key=lambda each: each.number))


def seconds_since(moment: object, now: datetime) -> float | None:
    """Seconds since a moment in ISO format, or None where it is not one."""
    try:
        return max((now - datetime.fromisoformat(str(moment))).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _log(file: Path) -> list[tuple[str, str]]:
    """The last lines of a log, without those that have no time."""
    try:
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return []
        with file.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(stream.tell() - TAIL_BYTES, 0))
            whole = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    found = (LOG_LINE.match(line) for line in whole.split("\n"))
    return [(match[2], printable(match[4])) for match in found if match]


def _round(folder: Path, number: int) -> RoundSeen:
    """A round as far as its files say what can be meant."""
    try:
        numbers = checked_numbers(number, _read(folder / "round.json"))
        cost = check.table_of(_read(folder / "cost.json"), check.is_not_negative, "cost.json")
        return RoundSeen(
            number, numbers, cost, tuple(check.rows(_read(folder / "samples.json", list), SAMPLE, ""))
        )
    except DamagedError:
        return RoundSeen(number, {}, {}, ())


def _read(file: Path, kind: type = dict) -> Any:
    try:
        found = parse_json(read_inside(file.parent, file.name, MOST), file.name)
    except DamagedError:
        return None
    return found if isinstance(found, kind) else None
