"""Tables with a document a row: JSON Lines, packed or not, and Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from agent.corpora.parquet import read_parquet
from agent.corpora.text import clean_text
from agent.errors import BasinError, quoted, shortened
from agent.files.bounded import PACKINGS, lines

Record = dict[str, Any]
LONGEST_TITLE = 500
JSONL, PARQUET = (".jsonl", ".ndjson"), ".parquet"
TABLE_SUFFIXES = (*(f"{kind}{packing}" for kind in JSONL for packing in PACKINGS), PARQUET)


class Fields(NamedTuple):
    """Names of a record's fields that a document is made of."""

    text: str = "text"
    title: str = "title"
    author: str = "author"


def read_table(path: Path, fields: Fields, others: Collection[str] | None) -> Iterator[tuple[Record, str]]:
    """(record, text) of every row of a JSONL or Parquet file.

    Args:
        others: Parquet columns to read besides `fields`; None reads all.

    Raises:
        BasinError: the file is of another kind, has no records, lacks a field, or has a record
            without text; or as `read_jsonl` and `read_parquet`.
    """
    *_, kind, packing = ("", "", *(suffix.lower() for suffix in path.suffixes))
    if packing not in PACKINGS:
        kind, packing = packing, ""
    if kind not in (*JSONL, PARQUET) or (packing and kind == PARQUET):
        raise BasinError(
            f"{path} is no corpus that Basin can read: give a folder of .txt, .md, .epub or .html files, one of these, a .jsonl"
            " file (plain, .gz, .xz, .zst or .bz2) or a .parquet file."
        )
    columns = None if others is None else {*fields, *others}
    rows = read_parquet(path, columns) if kind == PARQUET else read_jsonl(path, packing)
    yield from with_text(rows, fields, str(path))


def with_text(
    rows: Iterator[tuple[str, Record]], fields: Fields, source: str
) -> Iterator[tuple[Record, str]]:
    """(record, text) of rows given as (place, record).

    Raises `BasinError` if there are no rows, a field is unknown, or a row has no valid text.
    """
    empty = True
    for where, record in rows:
        if empty:
            _require_fields(fields, record, source)
        empty = False
        text = record.get(fields.text)
        if not isinstance(text, str):
            raise BasinError(f"{source}, {where} has no text in {fields.text!r}: mend or remove that record.")
        for field in fields:
            if isinstance(value := record.get(field), str) and "\0" in value:
                raise BasinError(
                    f"{source}, {where} has a NUL in {field!r}, so it is not text: mend or remove that record."
                )
        yield record, text
    if empty:
        raise BasinError(f"{source} holds no records: name one that does.")


def one_line(value: Any) -> str:
    """A title or author on one line, cleaned, without control characters; "" for None and NaN."""
    if value is None or value != value:  # NaN marks a missing value in many tables
        return ""
    whole = re.sub(r"[\x00-\x1f\x7f-\x9f]", "", " ".join(str(value).split())[:LONGEST_TITLE])
    return clean_text(whole)


def _require_fields(fields: Fields, record: Record, source: str) -> None:
    """Refuse an unknown text field, and an unknown title or author field that is not the default."""
    for name, field, default in zip(fields._fields, fields, Fields(), strict=True):
        if field not in record and (name == "text" or field != default):
            known = shortened(", ".join(map(str, islice(record, 50))) or "none", 150)
            raise BasinError(
                f"{source} has no field {quoted(field)}: set {name}_field to one of its fields ({known})."
            )


def read_jsonl(path: Path, packing: str = "") -> Iterator[tuple[str, Record]]:
    """(line number in words, object) of every line that is not blank; NaN and Infinity read as None.

    Raises `BasinError` if a line is not a JSON object in UTF-8, or as `bounded.lines`.
    """
    for number, line in lines(path, packing):
        if line.strip():
            yield f"line {number}", _record(line, number, path)


def _record(line: bytes, number: int, path: Path) -> Record:
    where = f"{path}, line {number}"
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        record = json.loads(
            text, object_pairs_hook=_object, parse_constant=lambda _: None, parse_int=_integer
        )
    except _DuplicateKeyError as error:
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


class _DuplicateKeyError(ValueError):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKeyError(quoted(next(key for key in keys if keys.count(key) > 1)))
    return record


def _integer(digits: str) -> int | float:
    """An integer, or a float where it has more digits than Python converts quickly."""
    return int(digits) if len(digits) < 40 else float(digits)
