"""Text files: one of them, or all in a folder, none of them outside it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import BasinError, escaped
from agent.sources.bounded import LONGEST_TEXT, MOST_DOCUMENTS, read_whole, require_file

TEXT_SUFFIXES = (".txt", ".md")
DEEPEST = 100
"""Folders within folders."""
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""What a file in an encoding of wide characters begins with; the longer marks first."""


def read_folder(folder: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """(path and title, text) of every text file in a folder and the folders in it, in the order of their paths.

    Hidden files and folders are left out. Raises `BasinError` for a folder without text files, for a link that leads out of
    the folder or to a folder, for what is named like a text file and is none, and as `read_text_file`.
    """
    files = sorted(_text_files(folder))
    if not files:
        raise BasinError(
            f"The folder {folder} holds no .txt or .md files: put texts there, or name another folder."
        )
    for file in files:
        yield read_text_file(file, folder)


def read_text_file(path: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """(path and title, text) of one file; raises `BasinError` where it is too long, not UTF-8, or not text."""
    text = decoded(read_whole(path, LONGEST_TEXT, "cut it into documents, one a file"), path)
    name = path.relative_to(folder)
    # A name need not be UTF-8, and has to be shown.
    record = {"path": escaped(name.as_posix()), "title": escaped(name.with_suffix("").as_posix())}
    return record, "\n".join(text.splitlines())


def decoded(content: bytes, path: Path) -> str:
    """UTF-8 text without its mark; raises `BasinError` for another encoding and for what is not text."""
    if encoding := next((name for mark, name in MARKS.items() if content.startswith(mark)), None):
        raise BasinError(f"{path} is {encoding}, not UTF-8 text: convert it, or take it out of the corpus.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BasinError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, or take it out of the corpus."
        ) from error
    if "\0" in text:
        raise BasinError(f"{path} is a binary file, not text: take it out of the corpus.")
    return text


def _text_files(folder: Path) -> Iterator[Path]:
    real, found = folder.resolve(), 0
    waiting = [(folder, 0)]
    while waiting:
        current, depth = waiting.pop()
        if depth > DEEPEST:
            raise BasinError(f"{current} is more than {DEEPEST} folders deep: move its texts up.")
        with os.scandir(current) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((path, depth + 1))
                elif entry.is_symlink() and _is_folder(path):
                    raise BasinError(
                        f"{path} is a link to a folder, and links are not followed out of a corpus: "
                        "put the folder itself there, or remove the link."
                    )
                elif path.suffix.lower() in TEXT_SUFFIXES:
                    _require_inside(path, real)
                    found += 1
                    if found > MOST_DOCUMENTS:
                        raise BasinError(
                            f"{folder} holds more than {MOST_DOCUMENTS:,} text files: name a smaller folder."
                        )
                    yield path


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # Path.is_dir raises for a name that is too long


def _require_inside(path: Path, folder: Path) -> None:
    """Raise `BasinError` unless the path is an ordinary file in the (resolved) folder, itself or by a link."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if not path.is_symlink():
            raise
        raise BasinError(
            f"{path} is a link that leads nowhere ({error.strerror}): remove it, or mend what it points to."
        ) from error
    require_file(path, mode)
    if path.is_symlink() and not path.resolve().is_relative_to(folder):
        raise BasinError(
            f"{path} is a link that leads out of the corpus folder: put the file itself there, or remove the link."
        )
