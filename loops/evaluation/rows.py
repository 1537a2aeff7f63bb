"""Rows of a long evaluation, one JSON object a line, saved as they come.

The first line identifies the suite and the code. Rows of another suite are set aside, never mixed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from loops.checkpoint.atomic import free_name, write_file

logger = logging.getLogger(__name__)

Row = dict[str, float | int | str | bool | None]


@dataclass
class RowFile:
    """A file of rows and its contents; made by `open`."""

    path: Path
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, digest: str) -> RowFile:
        """The file's rows if it was begun with the same digest, else a fresh file; cuts a torn end.

        Raises:
            BasinError: the file cannot be read or written.
        """
        header = {"suite": digest}
        if path.exists() and not path.is_file():  # a device has no end
            raise BasinError(f"{path} is no file that rows could be added to: name another with --out.")
        with _accessing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            objects = _whole_lines(text)
            if objects[:1] == [header]:
                if _written(objects) != text:
                    logger.info(f"The last row of {path} was cut short: its concept is evaluated again.")
                    write_file(path, _written(objects).encode("utf-8"))
                return cls(path, objects[1:])
            if text:
                aside = free_name(path)
                path.rename(aside)
                logger.info(
                    f"{path.name} was measured with another suite or other code: it is kept as {aside.name}."
                )
            write_file(path, _written([header]).encode("utf-8"))
            return cls(path)

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows at the end; raises as `open`."""
        with _accessing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_written(rows))
        self.rows += rows


def _whole_lines(text: str) -> list[dict[str, Any]]:
    """Objects of the lines before the first incomplete one."""
    objects = []
    for line in text.splitlines(keepends=True):
        try:
            found = json.loads(line)
        except ValueError:
            break
        if not line.endswith("\n") or not isinstance(found, dict):
            break
        objects.append(found)
    return objects


def _written(objects: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(each, ensure_ascii=True) + "\n" for each in objects)


@contextmanager
def _accessing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BasinError(
            f"{path} cannot be read or written ({error.strerror or error}); name another with --out."
        ) from None
