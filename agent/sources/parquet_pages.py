"""What the pages of a Parquet file claim, read before anything is unpacked.

A page says in its header how large it unpacks, and readers set memory aside for that before they look further; a kilobyte may
claim two gigabytes. Headers are structs in Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs
(thrift-compact-protocol.md), of the fields that https://github.com/apache/parquet-format lists under PageHeader.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
LONGEST_HEADER = 1 << 20
"""Headers hold statistics: a smallest and a largest value."""
DEEPEST = 8

KIND, UNPACKED, PACKED = 1, 2, 3
"""Numbers of a page header's fields."""
ENTRIES = {0: 5, 3: 8}
"""Kind of a data page to the number of the field that says how many values are in it."""


class Broken(ValueError):
    """A header that is not one."""


@dataclass(frozen=True)
class Pages:
    """What the pages of one column of one row group say together."""

    values: int
    """Entries of all data pages."""
    largest: int
    """Bytes of the largest page, unpacked."""
    unpacked: int
    packed: int


def read_pages(file: BinaryIO, begin: int, values: int) -> Pages:
    """Read the headers from byte `begin` on until their data pages have `values` entries.

    Raises `Broken` for what is no header, and where the file ends before the pages do.
    """
    size = file.seek(0, io.SEEK_END)
    at, seen, largest, unpacked, packed = begin, 0, 0, 0, 0
    while seen < values:
        if not 0 <= at < size:
            raise Broken("the file ends before its pages do")
        file.seek(at)
        header = _Header(file.read(min(LONGEST_HEADER, size - at)))
        fields = header.struct()
        grown, kept = fields.get(UNPACKED), fields.get(PACKED)
        if not (isinstance(grown, int) and isinstance(kept, int) and grown >= 0 and kept >= 0):
            raise Broken("a page has no size")
        if fields.get(KIND) in ENTRIES:
            entries = fields.get(ENTRIES[fields[KIND]])
            count = entries.get(1) if isinstance(entries, dict) else None
            if not isinstance(count, int) or count < 0:
                raise Broken("a page has no number of values")
            seen += count
        at += header.at + kept
        largest, unpacked, packed = max(largest, grown), unpacked + grown, packed + kept
    if at > size:
        raise Broken("the file ends before its pages do")
    return Pages(seen, largest, unpacked, packed)


class _Header:
    """A reader of one struct; `at` is where it has come to."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def struct(self, depth: int = 0) -> dict[int, object]:
        """Field number to value, of 32-bit integers and structs; other values are passed over, as Arrow does."""
        if depth > DEEPEST:
            raise Broken("a page header is nested too deeply")
        fields: dict[int, object] = {}
        number = 0
        while (head := self._byte()) != STOP:
            kind, step = head & 15, head >> 4
            number = number + step if step else self._integer()
            value = self._value(kind, depth)
            if kind in (I32, STRUCT):
                fields[number] = value
        return fields

    def _value(self, kind: int, depth: int) -> object:
        if kind in (TRUE, FALSE):
            return None
        if kind == BYTE:
            return self._skip(1)
        if kind in (I16, I64):
            return self._integer()
        if kind == I32:
            value = self._integer()
            if not -(1 << 31) <= value < 1 << 31:
                raise Broken("a page header has a number that is too large")  # Arrow would cut it down
            return value
        if kind == DOUBLE:
            return self._skip(8)
        if kind == BINARY:
            return self._skip(self._unsigned())
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._unsigned()
            return self._entries([head & 15], count, depth)
        if kind == MAP:
            count = self._unsigned()
            kinds = self._byte() if count else 0
            return self._entries([kinds >> 4, kinds & 15], count, depth)
        if kind == STRUCT:
            return self.struct(depth + 1)
        raise Broken("a page header has a field of no known type")

    def _entries(self, kinds: list[int], count: int, depth: int) -> None:
        if depth > DEEPEST or count > len(self.content):
            raise Broken("a page header is too large")
        for _ in range(count):
            for kind in kinds:
                # Among entries a truth value takes a byte of its own.
                self._byte() if kind in (TRUE, FALSE) else self._value(kind, depth + 1)

    def _byte(self) -> int:
        if self.at >= len(self.content):
            raise Broken("a page header is cut short")
        self.at += 1
        return self.content[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.content):
            raise Broken("a page header is cut short")

    def _unsigned(self) -> int:
        value, shift = 0, 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise Broken("a page header has a number without an end")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
