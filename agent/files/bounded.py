"""Reading untrusted files: ordinary files only, unpacked piece by piece, within limits.

A packed file is unpacked a buffer at a time, and refused as soon as it grows more than text does.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from agent.errors import BasinError, first_sentence

LONGEST_TEXT = 64 << 20
"""Bytes of one document: a text file, or a line of JSON."""
MOST_TEXT = 4 << 30
"""Characters of all documents of a corpus."""
MOST_DOCUMENTS = 1_000_000
UNPACKED_FREELY = 64 << 20
"""Bytes that any packed file may unpack to."""
HIGHEST_RATIO = 100
"""Bytes out per byte in, beyond `UNPACKED_FREELY`. Prose reaches 4, logs 30."""
UNPACKING_MEMORY = 256 << 20
"""Memory limit of an .xz file; `xz -9` needs 65 MiB."""
CHUNK = 1 << 16

PACKINGS = ("", ".gz", ".xz", ".zst", ".bz2")
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open an ordinary file for reading, without blocking on a pipe.

    Raises `BasinError` if the path leads to another kind of file, or to a link with `follow=False`.
    """
    require_file(path, os.stat(path, follow_symlinks=follow).st_mode)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    try:
        require_file(path, os.fstat(descriptor).st_mode)  # it may have been replaced
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_file(path: Path, mode: int) -> None:
    """Raise `BasinError` unless `mode` is that of an ordinary file."""
    if not stat.S_ISREG(mode):
        kind = next((name for holds, name in KINDS if holds(mode)), "a link")
        raise BasinError(
            f"{path} is {kind}, not an ordinary file: copy what it holds to a file, and name that."
        )


def read_whole(path: Path, most: int, remedy: str, *, follow: bool = True) -> bytes:
    """The bytes of an ordinary file; raises `BasinError` with `remedy` for more than `most`."""
    with open_file(path, follow=follow) as stream:
        size = os.fstat(stream.fileno()).st_size
        # Reading `most` bytes would allocate them at once.
        content = b"" if size > most else stream.read(size + 1)
        if size < len(content) <= most:  # the file has grown
            content += stream.read(most + 1 - len(content))
    if size > most or len(content) > most:
        raise BasinError(f"{path} is larger than {_in_words(most)}: {remedy}.")
    return content


def lines(path: Path, packing: str = "") -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of a file that may be packed.

    Raises `BasinError` if the file is damaged, has a line longer than a document may be, or unpacks
    to more than text does.
    """
    number = 0
    with _unpacked(path, packing) as stream:
        try:
            while line := stream.readline(LONGEST_TEXT + 1):
                number += 1
                if len(line) > LONGEST_TEXT:
                    raise BasinError(
                        f"{path}, line {number} is longer than {_in_words(LONGEST_TEXT)}: cut that document into smaller ones."
                    )
                yield number, line
        except (EOFError, MemoryError, lzma.LZMAError, zlib.error, pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's error, not the file's
            reason = first_sentence(error)[:120]
            raise BasinError(
                f"{path} is damaged or cut short after line {number} ({reason}): fetch or pack it again."
            ) from error


@contextmanager
def _unpacked(path: Path, packing: str) -> Iterator[BinaryIO]:
    """A stream over a packed file, which raises `BasinError` when its output is out of proportion."""
    with open_file(path) as file:
        if not packing:
            yield file
            return
        raw = _ProportionateStream(UNPACKERS[packing](file), file, path)
        with io.BufferedReader(raw, CHUNK) as stream:
            yield stream


def _in_words(size: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB")):
        if size >= 1 << shift:
            return f"{size >> shift} {unit}"
    return f"{size >> 10} KiB"


class _ProportionateStream(io.RawIOBase):
    """Unpacked bytes, refused when they are far more than the packed ones."""

    def __init__(self, inner: Any, packed: BinaryIO, path: Path) -> None:
        self._inner, self._packed, self._path, self._count = inner, packed, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._inner.read(len(buffer))
        buffer[: len(content)] = content
        self._count += len(content)
        if self._count > UNPACKED_FREELY and self._count > HIGHEST_RATIO * self._packed.tell():
            raise BasinError(
                f"{self._path} unpacks to more than {HIGHEST_RATIO} times its size, which text does not: "
                "if it is what you want, unpack it yourself and name the unpacked file."
            )
        return len(content)


class _XzStreams:
    """Concatenated .xz streams within `UNPACKING_MEMORY`, which `lzma.LZMAFile` cannot limit."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self._decompressor = source, self._begin()

    def _begin(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=UNPACKING_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            now = self._decompressor
            if now.eof:
                rest = now.unused_data.lstrip(b"\0") or self._after_padding()
                if not rest:
                    return b""
                self._decompressor = self._begin()
                content = self._decompressor.decompress(rest, size)
            elif now.needs_input:
                packed = self._source.read(CHUNK)
                if not packed:
                    raise EOFError("it ends before its last block does")
                content = now.decompress(packed, size)
            else:
                content = now.decompress(b"", size)
            if content:
                return content

    def _after_padding(self) -> bytes:
        while chunk := self._source.read(CHUNK):
            if rest := chunk.lstrip(b"\0"):
                return rest
        return b""


UNPACKERS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".xz": _XzStreams,
    ".bz2": bz2.BZ2File,
    # Arrow's reader notices a stream without its last frame; the zstandard package's does not.
    ".zst": lambda file: pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"),
}
