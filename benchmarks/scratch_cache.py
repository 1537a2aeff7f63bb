"""A cache without recorded activations, so that what is timed is reading and not finding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from agent.hub.pinned_packages import cache_root


@contextmanager
def without_recordings() -> Iterator[Path]:
    """`BASIN_CACHE` names a folder that links to all of the real cache but its activations, and goes with the block."""
    real = cache_root()
    with TemporaryDirectory(prefix="basin-speed-") as folder:
        for part in real.iterdir() if real.is_dir() else ():
            if part.is_dir() and part.name != "activations":
                Path(folder, part.name).symlink_to(part, target_is_directory=True)
        with patch.dict(os.environ, BASIN_CACHE=folder):
            yield Path(folder)
