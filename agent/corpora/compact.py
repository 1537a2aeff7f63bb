"""Thrift's compact protocol, read within limits: what the descriptions in Parquet files are written in.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
DEEPEST = 12
MOST_STRUCTS = 1_000_000

Fields = dict[tuple[int, int], Any]
"""(number, type) of a field to its value: one of another type than is expected is not there, as for Thrift's own readers."""


class Broken(ValueError):
    """Bytes that are not what they should be, and why."""


class Compact:
    """A reader of one struct from bytes; `at` is where it has come to."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at, self._structs = content, 0, 0

    def struct(self, depth: int = 0) -> Fields:
        """The fields that are whole numbers, structs, or lists of structs; others are passed over. Raises `Broken`."""
        self._structs += 1
        if depth > DEEPEST or self._structs > MOST_STRUCTS:
            raise Broken("its description is nested too deeply, or too large")
        fields: Fields = {}
        number = 0
        while (head := self._byte()) != STOP:
            kind, step = head & 15, head >> 4
            number = number + step if step else self._integer()
            value = self._value(kind, depth)
            if value is not None:
                fields[number, kind] = value
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (I16, I32, I64):
            value, bits = self._integer(), {I16: 16, I32: 32, I64: 64}[kind]
            if not -(1 << bits - 1) <= value < 1 << bits - 1:
                raise Broken("its description has a number that is too large")  # others cut it down
            return value
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._unsigned()
            return self._entries([head & 15], count, depth)
        if kind == MAP:
            count = self._unsigned()
            kinds = self._byte() if count else 0
            self._entries([kinds >> 4, kinds & 15], count, depth)
        elif kind in (BYTE, DOUBLE):
            self._skip(1 if kind == BYTE else 8)
        elif kind == BINARY:
            self._skip(self._unsigned())
        elif kind not in (TRUE, FALSE):
            raise Broken("its description has a field of no known type")
        return None

    def _entries(self, kinds: list[int], count: int, depth: int) -> list[Fields] | None:
        if depth > DEEPEST or count > len(self.content):
            raise Broken("its description is nested too deeply, or too large")
        found = []
        for _ in range(count):
            for kind in kinds:
                if kind in (TRUE, FALSE):
                    self._byte()  # among entries a truth value takes a byte
                    continue
                value = self._value(kind, depth + 1)
                if kind == STRUCT:
                    found.append(value)
        return found if kinds == [STRUCT] else None

    def _byte(self) -> int:
        if self.at >= len(self.content):
            raise Broken("its description is cut short")
        self.at += 1
        return self.content[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.content):
            raise Broken("its description is cut short")

    def _unsigned(self) -> int:
        value, shift = 0, 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise Broken("its description has a number without an end")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
