"""Records of a JSONL file: one JSON object a line, plain or packed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import BasinError, quoted
from agent.sources.bounded import lines

Record = dict[str, Any]


class _Twice(ValueError):
    """A key that an object has twice."""


def read_jsonl(path: Path, packing: str) -> Iterator[tuple[str, Record]]:
    """(line number in words, object) of every line that is not blank.

    A number that JSON does not know (NaN, Infinity) reads as nothing. Raises `BasinError` naming the line that is not a
    JSON object in UTF-8, and as `bounded.lines`.
    """
    for number, line in lines(path, packing):
        if line.strip():
            yield f"line {number}", _record(line, number, path)


def _record(line: bytes, number: int, path: Path) -> Record:
    where = f"{path}, line {number}"
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        record = json.loads(text, object_pairs_hook=_object, parse_constant=_nothing, parse_int=_integer)
    except _Twice as error:
        raise BasinError(f"{where} has {error} twice: leave one of them.") from None
    except RecursionError:
        raise BasinError(f"{where} is nested too deeply to be read: mend or remove that line.") from None
    except ValueError as error:  # of the encoding or of JSON
        if re.search(rb"[^\r\n]\r[^\r\n]", line):
            raise BasinError(
                f"{where} has line ends of a single carriage return: save the file with line feeds."
            ) from error
        raise BasinError(f"{where} is not JSON in UTF-8: mend or remove that line.") from error
    if not isinstance(record, dict):
        raise BasinError(f"{where} is not a JSON object: mend or remove that line.")
    return record


def _object(pairs: list[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Twice(quoted(next(key for key in keys if keys.count(key) > 1)))
    return record


def _nothing(constant: str) -> None:
    return None


def _integer(digits: str) -> int | float:
    """An integer, or the nearest float for one of more digits than anybody counts with."""
    return int(digits) if len(digits) < 40 else float(digits)
