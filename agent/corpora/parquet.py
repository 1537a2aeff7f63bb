"""Rows of a Parquet file, a few at a time, only requested columns, within limits on size."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agent.errors import BasinError, first_sentence
from agent.files.bounded import HIGHEST_RATIO, LONGEST_TEXT, UNPACKED_FREELY, open_file

LARGEST_FILE = 64 << 30
"""Bytes. The hub's shards have 0.5 GiB."""
LARGEST_ROW_GROUP = 8 << 30
"""Bytes, unpacked. Writers default to 1 GiB or less."""
MOST_COLUMNS = 10_000
MOST_ROWS_AT_ONCE = 64
MOST_AT_ONCE = 256 << 20
"""Bytes of the rows that are decoded at a time; a larger row is read alone."""
LONGEST_LIST = 10_000
FOOTER_LIMITS = {"thrift_string_size_limit": 16 << 20, "thrift_container_size_limit": 1 << 20}
"""Bytes of a string and entries of a list that Arrow reads of the file's footer."""


def read_parquet(path: Path, fields: Collection[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(row number in words, row) of a Parquet file, with the columns `fields`; None reads all.

    A row also names the other columns, with None as their value.

    Raises:
        BasinError: the file is damaged, too large, or claims to unpack to more than text does; or a
            requested column holds records or values without a Python type.
    """
    with open_file(path) as file:
        size = file.seek(0, 2)
        if size > LARGEST_FILE:
            raise BasinError(f"{path} is larger than {LARGEST_FILE >> 30} GiB: write it as several files.")
        with _damage_named(path):
            # A list may repeat one long text many times, so lists are decoded as dictionary indices.
            about = pq.ParquetFile(file, **FOOTER_LIMITS).metadata
            schema = about.schema.to_arrow_schema()
            leaves = [about.schema.column(at).path for at in range(len(about.schema))]
            table = pq.ParquetFile(
                file,
                metadata=about,
                read_dictionary=[leaf for leaf in leaves if leaf not in schema.names],
                buffer_size=1 << 16,
                page_checksum_verification=True,
                **FOOTER_LIMITS,
            )
        wanted = _wanted_columns(path, schema, fields)
        blank: dict[str, Any] = dict.fromkeys(schema.names)
        if not wanted:
            yield "row 1", blank  # the caller reports which columns exist
            return
        room = max(UNPACKED_FREELY, HIGHEST_RATIO * size)
        _require_proportion(path, about, room)
        for number, values in enumerate(_rows(path, table, wanted, room), 1):
            yield f"row {number}", {**blank, **values}


def _wanted_columns(path: Path, schema: pa.Schema, fields: Collection[str] | None) -> list[str]:
    names: list[str] = list(schema.names)
    if len(names) > MOST_COLUMNS or len(set(names)) < len(names):
        raise BasinError(f"{path} has two columns of one name, or more than {MOST_COLUMNS:,} of them.")
    wanted = [name for name in names if fields is None or name in fields]
    for name in wanted:
        kind = schema.field(name).type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
            raise BasinError(
                f"{path} has records in the column {name!r} ({str(kind)[:60]}): name a column of texts or numbers."
            )
    return wanted


def _require_proportion(path: Path, about: pq.FileMetaData, room: int) -> None:
    """Refuse a file whose footer claims that it unpacks to more than text does.

    Sizes of single columns are not read: pyarrow ends the process on some damaged ones.
    """
    if sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups)) > room:
        raise BasinError(_out_of_proportion(path, "the file"))


def _rows(path: Path, table: pq.ParquetFile, wanted: list[str], room: int) -> Iterator[dict[str, Any]]:
    number = characters = 0
    for group in range(table.num_row_groups):
        about = table.metadata.row_group(group)
        if about.total_byte_size > LARGEST_ROW_GROUP:
            raise BasinError(
                f"{path} has a row group of more than {LARGEST_ROW_GROUP >> 30} GiB: write smaller row groups."
            )
        row_bytes = about.total_byte_size // max(about.num_rows, 1)
        size = max(1, min(MOST_ROWS_AT_ONCE, MOST_AT_ONCE // max(row_bytes, 1)))
        for batch in _batches(path, table, group, wanted, size):
            columns = {name: batch.column(name) for name in wanted}
            _require_short_lists(path, columns, number)
            for at in range(batch.num_rows):
                number += 1
                try:
                    row = {name: column[at].as_py() for name, column in columns.items()}
                except (ValueError, OverflowError, NotImplementedError, ImportError) as error:
                    raise BasinError(
                        f"{path}, row {number} has a value that cannot be read (text that is not UTF-8, or a date "
                        "out of range): mend or remove that row."
                    ) from error
                characters += sum(len(value) for value in row.values() if isinstance(value, str))
                if characters > room:  # a dictionary may name one long text many times
                    raise BasinError(_out_of_proportion(path, "its text"))
                yield row


def _batches(
    path: Path, table: pq.ParquetFile, group: int, wanted: list[str], size: int
) -> Iterator[pa.RecordBatch]:
    with _damage_named(path):
        batches = table.iter_batches(size, row_groups=[group], columns=wanted, use_threads=False)
    while True:
        with _damage_named(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, MemoryError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's error, not the file's
        raise BasinError(
            f"{path} is not a whole Parquet file ({first_sentence(error)[:100]}): fetch or write it again."
        ) from error


def _require_short_lists(path: Path, columns: dict[str, pa.Array], before: int) -> None:
    """Refuse lists that would become too many Python objects."""
    for name, column in columns.items():
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


def _out_of_proportion(path: Path, what: str) -> str:
    return (
        f"{path} says that {what} unpacks to more than {HIGHEST_RATIO} times its size, which text does not: to keep it, "
        "write it as a .jsonl file."
    )
