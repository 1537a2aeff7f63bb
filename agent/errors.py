"""The one exception meant for users, and helpers that quote names and values in it."""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

LONGEST_SENTENCE = 400
"""Characters. A longer sentence loses its middle: it names the thing first and the remedy last."""


class BasinError(Exception):
    """A user's mistake or a missing resource, in one sentence that names the thing and the remedy.

    The command line prints the sentence and exits with status 1, without a traceback. Control
    characters are escaped, since quoted names may come from untrusted files.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(escaped(sentence), LONGEST_SENTENCE))

    def _render_traceback_(self) -> list[str]:
        """The sentence alone, for IPython and Jupyter."""
        return [f"{type(self).__name__}: {self}"]


@contextmanager
def writing(path: Path | str, remedy: str) -> Iterator[None]:
    """Report a disk error inside the block as a `BasinError`: `path` cannot be written; `remedy`."""
    with _disk_errors(path, "written", remedy):
        yield


@contextmanager
def reading(path: Path | str, remedy: str) -> Iterator[None]:
    """Report a disk error inside the block as a `BasinError`: `path` cannot be read; `remedy`."""
    with _disk_errors(path, "read", remedy):
        yield


@contextmanager
def _disk_errors(path: Path | str, verb: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise  # raised by a library, not by the operating system
        if verb == "read" and isinstance(getattr(error, "filename", None), str):
            path = error.filename  # the file of a folder
        reason = getattr(error, "strerror", None) or first_sentence(error)
        raise BasinError(f"{path} cannot be {verb} ({reason}); {remedy}.") from error


def first_sentence(error: Exception) -> str:
    """The first sentence of an error's message, at most 160 characters, to quote in a `BasinError`."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.split(". ")[0].rstrip(".:")[:160]


def escaped(text: str) -> str:
    """The text with unprintable characters escaped as in a Python string."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def shortened(text: str, longest: int) -> str:
    """The text, with its middle left out where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    length = longest - 3
    return f"{text[: length - length // 2]}...{text[len(text) - length // 2 :]}"


def quoted(value: Any) -> str:
    """The `repr` of a value, at most 80 characters."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 60
    short.maxlevel, short.maxdict, short.maxlist, short.maxtuple = 2, 3, 3, 3
    try:
        return shortened(short.repr(value), 80)
    except ValueError:  # an integer of more digits than Python prints
        return f"a huge {type(value).__name__}"


def printable(text: str) -> str:
    """Text with control and direction marks, which could steer a terminal, replaced by spaces."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cf", "Cs") else letter for letter in text)
