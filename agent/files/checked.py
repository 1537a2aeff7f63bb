"""Files of untrusted run folders: bounded, never through a link, with strict JSON and tensors.

All functions raise `DamagedError`, whose message ends a sentence that begins with the folder.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import first_sentence

MEGABYTE = 1 << 20
MOST_JSON_PARTS = 20_000_000
"""Commas and brackets. A small file of them alone becomes gigabytes of Python objects."""
MOST_DIGITS = 19
"""Digits of an integer; all stored ones fit 64 bits."""
MOST_HEADER = 8 * MEGABYTE
MOST_TENSORS = 20_000
TYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "U8")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}){0,2}")


class DamagedError(Exception):
    """A file or folder is damaged; the message is the end of a sentence."""


def is_safe_name(name: object) -> bool:
    """Whether a relative path stays inside its folder: no `..`, not absolute, hidden or deep."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def read_inside(root: Path, name: str, most: int) -> bytes:
    """The bytes of a plain file inside a folder, reached without following links.

    Args:
        root: the folder; it may be a link itself, since the user named it.
        most: bytes; a larger file is refused unread.

    Raises:
        DamagedError: the file is missing, too large, no plain file or unreadable, or lies outside.
    """
    if not is_safe_name(name):
        raise DamagedError(f"{name[:80]!r} is no name of a file inside")
    with _opened(root, name) as descriptor:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise DamagedError(f"{name} is no plain file")
        if about.st_size > most:
            raise DamagedError(f"{name} has {about.st_size} bytes, more than the {most} that it may have")
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(about.st_size)


def size_inside(root: Path, name: str) -> int | None:
    """Size in bytes of a plain file inside a folder, or None if there is none."""
    try:
        with _opened(root, name) as descriptor:
            about = os.fstat(descriptor)
            return about.st_size if stat.S_ISREG(about.st_mode) else None
    except DamagedError:
        return None


@contextmanager
def _opened(root: Path, name: str) -> Iterator[int]:
    """A descriptor of a file, opened folder by folder so that no link is followed."""
    *folders, last = name.split("/")
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for folder in folders:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(folder, flags, dir_fd=opened[-1]))
        # Opening a pipe without a writer would block.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        opened.append(os.open(last, flags, dir_fd=opened[-1]))
        yield opened[-1]
    except OSError as error:
        raise DamagedError(f"{name} {_reason(error)}") from None
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _reason(error: OSError) -> str:
    known = {
        errno.ENOENT: "is missing",
        errno.ELOOP: "is a link",
        errno.ENXIO: "is no plain file",
        errno.ENOTDIR: "lies behind a link or a file",
    }
    return known.get(error.errno or 0) or f"cannot be read ({error.strerror or error})"


def plain_folder(path: Path) -> bool:
    """Whether the path is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def parse_json(content: bytes, name: str) -> Any:
    """Parse strict JSON.

    Raises:
        DamagedError: it is no JSON; or has a duplicate key, NaN, a number out of range, too many
            parts, or deep nesting.
    """
    parts = sum(map(content.count, (b",", b"[", b"{")))
    if parts > MOST_JSON_PARTS:
        raise DamagedError(f"{name} has too many parts")
    try:
        # A generated text may end in half of a surrogate pair.
        text = content.decode("utf-8", errors="surrogatepass")
        return json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise DamagedError(f"{name} is nested too deeply") from None
    except ValueError as error:
        raise DamagedError(f"{name} is not valid JSON ({first_sentence(error)[:120]})") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key is there twice")
    return tree


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is out of range")
    return value


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS + 1:
        raise ValueError("a number is out of range")
    return int(text)


def parse_tensors(content: bytes, name: str) -> dict[str, Any]:
    """Torch tensors of a safetensors file.

    Raises:
        DamagedError: the header is wrong, truncated, or names unknown types.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    _check_header(content, name)
    try:
        tensors: dict[str, Any] = safetensors.torch.load(content)
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError, OverflowError) as error:
        raise DamagedError(f"{name} is no whole safetensors file ({first_sentence(error)[:120]})") from None
    return tensors


def tensors_metadata(content: bytes, name: str) -> dict[str, str]:
    """The metadata of a safetensors file; raises as `parse_tensors`."""
    return _check_header(content, name)


def _check_header(content: bytes, name: str) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little") if len(content) >= 8 else -1
    if not 2 <= length <= min(MOST_HEADER, len(content) - 8):
        raise DamagedError(f"{name} is no whole safetensors file (its header is cut off)")
    header = parse_json(content[8 : 8 + length], f"the header of {name}")
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise DamagedError(f"{name} is no safetensors file (its header is no table)")
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise DamagedError(f"{name} is no safetensors file (its metadata are no texts)")
    # safetensors checks shapes and offsets, but would also load other types.
    if not all(isinstance(entry, dict) and entry.get("dtype") in TYPES for entry in header.values()):
        raise DamagedError(f"{name} has tensors of unknown types")
    return about
