"""Reading files that nobody vouches for: ordinary files only, unpacked piece by piece, never more than is allowed.

A packed file says how large it is only when it has been unpacked, so it is unpacked a buffer at a time and given up as soon as
it has grown more than text does.
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

from agent.errors import BasinError

LONGEST_TEXT = 64 << 20
"""Bytes of one document: of a text file, or of a line of JSON."""
MOST_TEXT = 4 << 30
"""Characters of all documents of a corpus."""
MOST_DOCUMENTS = 1_000_000
UNPACKED_FREELY = 64 << 20
"""Bytes that a packed file may unpack to, whatever its own size."""
HIGHEST_RATIO = 100
"""Beyond that, bytes out for every byte in: prose packs to a third or a quarter, logs to a thirtieth."""
UNPACKING_MEMORY = 256 << 20
"""What an .xz file may ask for; `xz -9` needs 65 MiB."""
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
    """Open an ordinary file for reading; never waits, as opening a pipe would.

    Raises `BasinError` for anything else than a file, and for a link where links are not to be followed.
    """
    require_file(path, os.stat(path, follow_symlinks=follow).st_mode)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    try:
        require_file(path, os.fstat(descriptor).st_mode)  # it may have been exchanged
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
    """The bytes of an ordinary file, at most `most` of them; `remedy` says what to do about more."""
    with open_file(path, follow=follow) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = b"" if size > most else stream.read(size + 1)  # room for `most` would be taken at once
        if size < len(content) <= most:  # it has grown
            content += stream.read(most + 1 - len(content))
    if size > most or len(content) > most:
        raise BasinError(f"{path} is larger than {_in_words(most)}: {remedy}.")
    return content


def lines(path: Path, packing: str = "") -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of a file that may be packed.

    Raises `BasinError` for a file that is damaged, for a line longer than a document may be, and for a file that unpacks
    to more than text does.
    """
    number = 0
    with unpacked(path, packing) as stream:
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
                raise  # the disk's fault, not the file's
            raise BasinError(
                f"{path} is damaged or cut short after line {number} ({_reason(error)}): fetch or pack it again."
            ) from error


@contextmanager
def unpacked(path: Path, packing: str) -> Iterator[BinaryIO]:
    """A stream over what the file holds; raises `BasinError` while it is read, when that is out of proportion."""
    with open_file(path) as file:
        if not packing:
            yield file
            return
        counted = _Counted(file)
        raw = _Proportionate(UNPACKERS[packing](counted), counted, path)
        with io.BufferedReader(raw, CHUNK) as stream:
            yield stream


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _in_words(size: int) -> str:
    return (
        f"{size >> 30} GiB"
        if size >= 1 << 30
        else f"{size >> 20} MiB"
        if size >= 1 << 20
        else f"{size >> 10} KiB"
    )


class _Counted(io.RawIOBase):
    """A file that counts what is read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.count = file, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.count += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Proportionate(io.RawIOBase):
    """What is unpacked, given up when it is far more than what it was unpacked from."""

    def __init__(self, inner: Any, packed: _Counted, path: Path) -> None:
        self._inner, self._packed, self._path, self._count = inner, packed, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._inner.read(len(buffer))
        buffer[: len(content)] = content
        self._count += len(content)
        if self._count > UNPACKED_FREELY and self._count > HIGHEST_RATIO * self._packed.count:
            raise BasinError(
                f"{self._path} unpacks to more than {HIGHEST_RATIO} times its size, which text does not: "
                "if it is what you want, unpack it yourself and name the unpacked file."
            )
        return len(content)


class _Streams:
    """Unpacks one packed stream after the other, never more at a time than is asked for."""

    def __init__(self, source: _Counted, begin: Callable[[], Any]) -> None:
        self._source, self._begin = source, begin
        self._now = begin()

    def read(self, size: int) -> bytes:
        while True:
            if self._now.eof:
                rest = self._now.unused_data.lstrip(b"\0") or self._source.read(CHUNK).lstrip(b"\0")
                if not rest and not (rest := self._after_padding()):
                    return b""
                self._now = self._begin()
                content = self._now.decompress(rest, size)
            elif self._now.needs_input:
                packed = self._source.read(CHUNK)
                if not packed:
                    raise EOFError("it ends before its last block does")
                content = self._now.decompress(packed, size)
            else:
                content = self._now.decompress(b"", size)
            if content:
                return content

    def _after_padding(self) -> bytes:
        while chunk := self._source.read(CHUNK):
            if rest := chunk.lstrip(b"\0"):
                return rest
        return b""


UNPACKERS: dict[str, Callable[[_Counted], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".xz": lambda file: _Streams(file, lambda: lzma.LZMADecompressor(memlimit=UNPACKING_MEMORY)),
    ".bz2": lambda file: _Streams(file, bz2.BZ2Decompressor),
    # Unlike the zstandard package's reader, Arrow's says when a stream ends before its last frame does.
    ".zst": lambda file: pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"),
}
