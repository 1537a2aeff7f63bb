"""What a working process says about itself in a small file, for whoever watches the run from elsewhere.

The file is a convenience: a disk that refuses it is no reason to stop, and no round depends on it.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.plain_files import MEGABYTE, DamagedError, parse_json, read_inside

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
