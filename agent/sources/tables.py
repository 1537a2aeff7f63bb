"""Records with fields: which of these hold text, title and author, and what has to be true of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from agent.errors import BasinError, quoted, shortened
from agent.sources.bounded import PACKINGS
from agent.sources.parquet_rows import read_parquet
from agent.sources.records import Record, read_jsonl

JSONL, PARQUET = (".jsonl", ".ndjson"), ".parquet"
TABLE_SUFFIXES = (*(f"{kind}{packing}" for kind in JSONL for packing in PACKINGS), PARQUET)


class Fields(NamedTuple):
    """Names of the fields that are shown, in a record."""

    text: str = "text"
    title: str = "title"
    author: str = "author"


def read_table(path: Path, fields: Fields, others: Collection[str] | None) -> Iterator[tuple[Record, str]]:
    """(record, its text) of a JSONL or Parquet file; of Parquet's columns only `fields` and `others`, all where that is None.

    Raises `BasinError` for a file of another kind, one without records, an unknown field, a record without text, and as
    `read_jsonl` and `read_parquet`.
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
    yield from checked(rows, fields, str(path))


def checked(rows: Iterator[tuple[str, Record]], fields: Fields, source: str) -> Iterator[tuple[Record, str]]:
    """The same records with their text; raises `BasinError` where there is none, of `source`."""
    empty = True
    for where, record in rows:
        if empty:
            _require_fields(fields, record, source)
        empty = False
        text = record.get(fields.text)
        if not isinstance(text, str):
            raise BasinError(f"{source}, {where} has no text in {fields.text!r}: mend or remove that record.")
        for field in fields:
            _require_characters(record.get(field), field, f"{source}, {where}")
        yield record, text
    if empty:
        raise BasinError(f"{source} holds no records: name one that does.")


def _require_characters(value: Any, field: str, where: str) -> None:
    """Refuse what is no text although it is a string: NUL, and halves of characters that no file can hold."""
    if not isinstance(value, str):
        return
    if "\0" in value:
        raise BasinError(f"{where} has a NUL in {field!r}, so it is not text: mend or remove that record.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BasinError(
            f"{where} has half of a character (a lone surrogate) in {field!r}: mend or remove that record."
        ) from None


def _require_fields(fields: Fields, record: Record, source: str) -> None:
    """Refuse an unknown text field, and a title or author field that somebody asked for and is not there."""
    for name, field, default in zip(fields._fields, fields, Fields(), strict=True):
        if field not in record and (name == "text" or field != default):
            known = shortened(", ".join(map(str, islice(record, 50))) or "none", 150)
            raise BasinError(
                f"{source} has no field {quoted(field)}: set {name}_field to one of its fields ({known})."
            )
