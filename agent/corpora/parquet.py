"""Rows of a Parquet file, a few at a time and only the columns that are asked for, within the limits of `bounded`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agent.corpora.compact import Broken
from agent.corpora.parquet_pages import Pages, RowGroup, read_pages, read_row_groups
from agent.errors import BasinError
from agent.files.bounded import HIGHEST_RATIO, LONGEST_TEXT, UNPACKED_FREELY, open_file

MOST_COLUMNS = 10_000
MOST_ROWS_AT_ONCE = 64
MOST_AT_ONCE = 256 << 20
"""Bytes of the rows that are held at a time, at most; a row that may be larger is read alone."""
MOST_ENTRIES = 1_000_000
"""Entries of a column of lists within one row group."""
LONGEST_LIST = 10_000
FOOTER_STRINGS, FOOTER_LISTS = 16 << 20, 1 << 20
"""What Arrow may read of the file's own description: bytes of a string, entries of a list."""

Record = dict[str, Any]


def read_parquet(path: Path, fields: Collection[str] | None) -> Iterator[tuple[str, Record]]:
    """(row number in words, row) of a Parquet file; of its columns only `fields`, or all where that is None.

    A column that is not among `fields` is in the row, too, with nothing in it, so that the row tells which columns there are.
    Raises `BasinError` for a file that is damaged, or whose pages claim to be larger than text is, for columns of
    records, and for values that Python has no type for.
    """
    try:
        with open_file(path) as file:
            yield from _rows(path, file, fields)
    except Broken as error:
        raise BasinError(f"{path} is not a whole Parquet file ({error}): fetch or write it again.") from error


def _rows(path: Path, file: BinaryIO, fields: Collection[str] | None) -> Iterator[tuple[str, Record]]:
    options = {"thrift_string_size_limit": FOOTER_STRINGS, "thrift_container_size_limit": FOOTER_LISTS}
    about = _arrow(lambda: pq.ParquetFile(file, **options).metadata)
    schema = _arrow(about.schema.to_arrow_schema)
    names = _arrow(lambda: list(schema.names))
    if len(names) > MOST_COLUMNS or len(set(names)) < len(names):
        raise BasinError(f"{path} has two columns of one name, or more than {MOST_COLUMNS:,} of them.")
    wanted = [name for name in names if fields is None or name in fields]
    for name in wanted:
        _require_readable(path, schema.field(name))
    blank = dict.fromkeys(names)
    if not wanted:  # nothing to read, and the caller has to be told which columns there are
        yield "row 1", blank
        return
    groups = read_row_groups(file)
    leaves = [_arrow(lambda at=at: about.schema.column(at).path) for at in range(len(about.schema))]
    # A list may name one long text a million times, so lists are read as places in a dictionary.
    table = _arrow(
        pq.ParquetFile,
        file,
        metadata=about,
        read_dictionary=[leaf for leaf in leaves if leaf not in names],
        pre_buffer=False,
        buffer_size=1 << 16,
        page_checksum_verification=True,
        **options,
    )
    number, characters = 0, 0
    free = max(UNPACKED_FREELY, HIGHEST_RATIO * file.seek(0, os.SEEK_END))
    for place, group in enumerate(groups):
        size = _rows_at_once(path, file, leaves, group, wanted)
        batches = _arrow(
            table.iter_batches, batch_size=size, row_groups=[place], columns=wanted, use_threads=False
        )
        while (batch := _arrow(next, batches, None)) is not None:
            columns = [(name, batch.column(name)) for name in wanted]
            _refuse_long_lists(path, columns, number)
            for row in range(batch.num_rows):
                number += 1
                try:
                    values = {name: column[row].as_py() for name, column in columns}
                except (ValueError, OverflowError, NotImplementedError, ImportError) as error:
                    raise BasinError(
                        f"{path}, row {number} has a value that cannot be read (text that is not UTF-8, or a date "
                        "out of range): mend or remove that row."
                    ) from error
                characters += sum(len(value) for value in values.values() if isinstance(value, str))
                if characters > free:  # by naming one long text many times
                    raise BasinError(_out_of_proportion(path, "its text"))
                yield f"row {number}", {**blank, **values}


def _arrow(call: Any, *arguments: Any, **options: Any) -> Any:
    """What Arrow makes of the file; whatever it says against it becomes `Broken`."""
    try:
        return call(*arguments, **options)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        LookupError,
        MemoryError,
        OverflowError,
        TypeError,
    ) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's fault, not the file's
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Broken(line[:100]) from error


def _require_readable(path: Path, field: pa.Field) -> None:
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        raise BasinError(
            f"{path} has records in the column {field.name!r} ({str(field.type)[:60]}): name a column of texts or numbers."
        )


def _rows_at_once(path: Path, file: BinaryIO, columns: list[str], group: RowGroup, wanted: list[str]) -> int:
    """How many rows of a group may be held at a time, after a look at what the pages of its `columns` claim."""
    if len(group.chunks) != len(columns):
        raise Broken(f"a row group has {len(group.chunks)} of {len(columns)} columns")
    largest = 0
    for name, chunk in zip(columns, group.chunks, strict=True):
        # A dot may be part of a column's name; then more is looked at than is read.
        if not any(name == each or name.startswith(f"{each}.") for each in wanted):
            continue
        pages = read_pages(file, chunk)
        _require_proportion(path, name, pages)
        if name in wanted and pages.values != group.rows:
            raise Broken(f"{name} has {pages.values} values for {group.rows} rows")
        if pages.values > MOST_ENTRIES and name not in wanted:
            raise BasinError(
                f"{path} has more than {MOST_ENTRIES:,} entries of {name!r} in one row group: write smaller row groups."
            )
        largest += pages.largest
    return max(1, min(MOST_ROWS_AT_ONCE, MOST_AT_ONCE // max(largest, 1)))


def _require_proportion(path: Path, name: str, pages: Pages) -> None:
    if pages.unpacked > UNPACKED_FREELY and pages.unpacked > HIGHEST_RATIO * max(pages.packed, 1):
        raise BasinError(_out_of_proportion(path, repr(name)))
    if pages.largest > MOST_AT_ONCE * 4:
        raise BasinError(f"{path} has a page of {pages.largest >> 20} MiB in {name!r}: write smaller pages.")


def _out_of_proportion(path: Path, what: str) -> str:
    return (
        f"{path} says that {what} unpacks to more than {HIGHEST_RATIO} times its size, which text does not: if it is what "
        "you want, write it as a .jsonl file."
    )


def _refuse_long_lists(path: Path, columns: list[tuple[str, pa.Array]], before: int) -> None:
    """Refuse a row whose list would be out of all proportion, before it is turned into Python's objects."""
    for name, column in columns:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            continue
        longest = pc.max(pc.list_value_length(column)).as_py() or 0
        entry = column.values.dictionary if pa.types.is_dictionary(column.type.value_type) else None
        widest = pc.max(pc.binary_length(entry)).as_py() or 0 if entry is not None and len(entry) else 16
        if longest > LONGEST_LIST or longest * widest > LONGEST_TEXT:
            raise BasinError(
                f"{path}, row {before + 1} or soon after it has a list of more than {LONGEST_LIST:,} entries, "
                f"or of more than {LONGEST_TEXT >> 20} MiB, in {name!r}: shorten it."
            )
