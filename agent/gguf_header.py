"""GGUF files around the gguf library: whether a header stays inside its file, looked at before it is read, and the last step of
writing.

That library takes the numbers in a header as they come: a list that claims to be endless is read for ever.
"""

from __future__ import annotations

import struct
from typing import Any

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type's number; 8 is a text, 9 a list."""
TEXT, LIST = 8, 9
MOST_FIELDS, MOST_TENSORS, MOST_ENTRIES, MOST_AXES = 1000, 2000, 100_000, 4


def check_header(content: bytes) -> None:
    """Walk fields and tensors. Raises `ValueError` where the header is cut off, or claims more than a control vector needs."""
    walk = _Walk(content)
    if content[:4] != MAGIC or walk.number(4) not in VERSIONS:
        raise ValueError("it has no GGUF header of a known version")
    tensors, fields = walk.count(MOST_TENSORS), walk.count(MOST_FIELDS)
    for _ in range(fields):
        walk.text()
        walk.value(walk.number(4))
    for _ in range(tensors):
        walk.text()
        axes = walk.number(4)
        if axes > MOST_AXES:
            raise ValueError("a tensor has too many axes")
        walk.skip(8 * axes + 4 + 8)


def write_out(writer: Any) -> None:
    """Let a `GGUFWriter` write what it was given, and close its file however that ends."""
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


class _Walk:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, len(MAGIC)

    def skip(self, count: int) -> bytes:
        part = self.content[self.at : self.at + count]
        if len(part) < count:
            raise ValueError("its header is cut off")
        self.at += count
        return part

    def number(self, size: int) -> int:
        return struct.unpack("<I" if size == 4 else "<Q", self.skip(size))[0]

    def count(self, most: int) -> int:
        found = self.number(8)
        if found > most:
            raise ValueError(f"its header claims {found} entries")
        return found

    def text(self) -> None:
        self.skip(self.count(len(self.content)))

    def value(self, kind: int, nested: bool = False) -> None:
        if kind in SIZES:
            self.skip(SIZES[kind])
        elif kind == TEXT:
            self.text()
        elif kind == LIST and not nested:
            inner = self.number(4)
            for _ in range(self.count(MOST_ENTRIES)):
                self.value(inner, nested=True)
        else:
            raise ValueError("its header has a value of an unknown type")
