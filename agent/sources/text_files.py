"""Text files: UTF-8, with or without its mark, and nothing that only looks like text."""

from __future__ import annotations

import codecs
from pathlib import Path

from agent.errors import BasinError
from agent.sources.bounded import LONGEST_TEXT, read_whole

TEXT_SUFFIXES = (".txt", ".md")
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""What a file in an encoding of wide characters begins with; the longer marks first."""


def read_text(path: Path) -> str:
    """The text of a file, with line feeds at its line ends; `BasinError` where it is too long, not UTF-8, or not text."""
    text = decoded(read_whole(path, LONGEST_TEXT, "cut it into documents, one a file"), path)
    return "\n".join(text.splitlines())


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
