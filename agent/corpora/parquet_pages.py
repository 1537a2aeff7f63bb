"""What a Parquet file and its pages claim, read before anything is unpacked.

A page says in its header how large it unpacks, and readers set memory aside for that before they look further; a kilobyte may
claim two gigabytes. Arrow's own view of the description is not used here: some of what it throws on damage ends the process.
Field numbers are those of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from agent.corpora.compact import I32, I64, LIST, STRUCT, Broken, Compact, Fields

MARK = b"PAR1"
LONGEST_FOOTER = 16 << 20
LONGEST_HEADER = 1 << 20
"""Headers hold statistics: a smallest and a largest value."""

ROW_GROUPS, COLUMNS, ROWS = (4, LIST), (1, LIST), (3, I64)
ABOUT, VALUES, DATA_AT, DICTIONARY_AT = (3, STRUCT), (5, I64), (9, I64), (11, I64)
KIND, UNPACKED, PACKED = (1, I32), (2, I32), (3, I32)
ENTRIES = {0: (5, STRUCT), 3: (8, STRUCT)}
"""Kind of a data page to the field of its header that says how many values are in it."""
COUNT = (1, I32)


@dataclass(frozen=True)
class Chunk:
    """One column of one row group."""

    begin: int
    """Byte of its first page."""
    values: int


@dataclass(frozen=True)
class RowGroup:
    rows: int
    chunks: tuple[Chunk, ...]
    """In the order of the file's columns."""


@dataclass(frozen=True)
class Pages:
    """What the pages of a chunk say together."""

    values: int
    """Entries of all data pages."""
    largest: int
    """Bytes of the largest page, unpacked."""
    unpacked: int
    packed: int


def read_row_groups(file: BinaryIO) -> list[RowGroup]:
    """The row groups that the file's footer lists. Raises `Broken`."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - 8, 0))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if size < 12 or end[4:] != MARK or length > size - 8:
        raise Broken("it has no footer")
    if length > LONGEST_FOOTER:
        raise Broken("its footer is too large")
    file.seek(size - 8 - length)
    footer = Compact(file.read(length)).struct()
    groups = [
        RowGroup(_number(group, ROWS), tuple(_chunk(column) for column in group.get(COLUMNS, ())))
        for group in footer.get(ROW_GROUPS, ())
    ]
    if any(group.rows < 0 for group in groups):
        raise Broken("a row group has a negative number of rows")
    return groups


def read_pages(file: BinaryIO, chunk: Chunk) -> Pages:
    """Read the headers of a chunk's pages, until its data pages have as many entries as the footer says.

    Raises `Broken` for what is no header, and where the file ends before the pages do.
    """
    size = file.seek(0, io.SEEK_END)
    at, seen, largest, unpacked, packed = chunk.begin, 0, 0, 0, 0
    while seen < chunk.values:
        if not 0 <= at < size:
            raise Broken("it ends before its pages do")
        file.seek(at)
        header = Compact(file.read(min(LONGEST_HEADER, size - at)))
        fields = header.struct()
        grown, kept = _number(fields, UNPACKED), _number(fields, PACKED)
        if grown < 0 or kept < 0:
            raise Broken("a page has a negative size")
        entries = ENTRIES.get(_number(fields, KIND))
        if entries:
            count = _number(fields.get(entries, {}), COUNT)
            if count < 0:
                raise Broken("a page has a negative number of values")
            seen += count
        at += header.at + kept
        largest, unpacked, packed = max(largest, grown), unpacked + grown, packed + kept
    if at > size:
        raise Broken("it ends before its pages do")
    return Pages(seen, largest, unpacked, packed)


def _chunk(column: Fields) -> Chunk:
    about = column.get(ABOUT, {})
    begin, first = _number(about, DATA_AT), about.get(DICTIONARY_AT)
    if first is not None and 0 < first < begin:
        begin = first
    return Chunk(begin, _number(about, VALUES))


def _number(fields: Fields, which: tuple[int, int]) -> int:
    if which not in fields:
        raise Broken("its description lacks a number")
    return fields[which]
