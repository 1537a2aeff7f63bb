"""What is measured so far, as lines of JSON in files that are only added to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def rows(folder: Path, part: str) -> list[dict[str, Any]]:
    """The rows of a part; a last line that was cut off counts as not there."""
    found = []
    try:
        lines = (folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def add(folder: Path, part: str, more: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, all in one write."""
    with (folder / f"{part}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in more))
        stream.flush()
        os.fsync(stream.fileno())
