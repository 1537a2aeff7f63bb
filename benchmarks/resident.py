"""Memory of this process as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def resident(what: str) -> int:
    """Bytes: `VmRSS` now, `VmHWM` at most. A child's `ru_maxrss` begins with its parent's, which these do not."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {what} in /proc/self/status")
