"""Follow a run that another process writes, by its log and its status file.

Reading costs the run nothing: no model is loaded and no lock is taken.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.files.checked import MEGABYTE, DamagedError, parse_json, read_inside
from loops.checkpoint.atomic import is_held

LOG, STATUS = "run.log", "progress.json"
FINISHED, STOPPED = "finished", "stopped"
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d+ \w+ (.*)")
FIRST_LINES = 20
TAIL_BYTES = 64_000
SECONDS_BETWEEN_WRITES = 1.0
SECONDS_BETWEEN_COUNTS = 10.0
SECONDS_ALIVE = 600.0
"""A status file that changed more recently shows a live process where file locks do not work."""


class StatusFile:
    """State of the work, rewritten at most once a second; without a path nothing is written."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.facts: dict[str, Any] = {}
        self.due = 0.0

    def update(self, *, at_once: bool = False, **facts: Any) -> None:
        """Note facts, and write all of them when a write is due."""
        self.facts |= facts
        if self.path is None or (time.monotonic() < self.due and not at_once):
            return
        self.due = time.monotonic() + SECONDS_BETWEEN_WRITES
        content = json.dumps({**self.facts, "at": datetime.now(UTC).isoformat(timespec="milliseconds")})
        draft = self.path.with_name(f".{self.path.name}.tmp-{os.getpid()}")
        # Not synced to disk: after a power cut nobody needs the progress of a stage.
        with suppress(OSError, ValueError):
            draft.unlink(missing_ok=True)
            with draft.open("x", encoding="utf-8", errors="replace") as stream:  # never through a link
                stream.write(content)
            os.replace(draft, self.path)


def read_status(folder: Path) -> Mapping[str, Any]:
    """Return what the newest process that worked on a run noted; empty without a readable file."""
    try:
        found = parse_json(read_inside(folder, STATUS, MEGABYTE), STATUS)
    except DamagedError:
        return {}
    return found if isinstance(found, dict) else {}


def follow(path: Path, pause: float = 1.0) -> Iterator[str]:
    """Yield log lines, stages and counts with estimates until no process writes to the run."""
    lines, position = _log_lines(path / LOG, None)
    yield from lines[-FIRST_LINES:]
    stage, count_due = "", 0.0
    while _is_written(path):
        status = read_status(path)
        if (current := _stage(status)) and current != stage:
            stage = current
            yield stage
        if time.monotonic() >= count_due and (counts := _counts(status)):
            count_due = time.monotonic() + SECONDS_BETWEEN_COUNTS
            yield counts
        time.sleep(pause)
        lines, position = _log_lines(path / LOG, position)
        yield from lines
    yield from _log_lines(path / LOG, position)[0]  # what the writer added before it ended


def outcome(path: Path) -> tuple[bool, str]:
    """Return whether the last process finished its work on the run, and a sentence that says so."""
    ended = str(read_status(path).get("ended") or "")
    if ended == FINISHED:
        return True, f"{path.name} is finished."
    reason = f"{path.name} {ended}. " if ended.startswith("failed") else ""
    return False, f"{reason}No process writes to {path.name}; `basin resume {path.name}` continues it."


def _is_written(path: Path) -> bool:
    if (held := is_held(path)) is not None:
        return held
    try:
        age = time.time() - (path / STATUS).stat().st_mtime
    except OSError:
        return False
    return read_status(path).get("ended") is None and age < SECONDS_ALIVE


def _stage(status: Mapping[str, Any]) -> str:
    return f"round {status['round']}: {status['part']}" if {"round", "part"} <= status.keys() else ""


def _counts(status: Mapping[str, Any]) -> str:
    counts = status.get("counts")
    return "; ".join(map(str, counts)) if isinstance(counts, list) else ""


def _log_lines(file: Path, position: int | None) -> tuple[list[str], int]:
    """Lines with a time from a position on, by default near the end, and the position after them."""
    try:
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return [], 0
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = max(size - TAIL_BYTES, 0) if position is None else min(position, size)
            stream.seek(start)
            content = stream.read()
    except OSError:
        return [], position or 0
    whole = content[: content.rfind(b"\n") + 1]
    found = map(LOG_LINE.match, whole.decode("utf-8", errors="replace").split("\n"))
    return [f"{match[1]} {match[2]}" for match in found if match], start + len(whole)
