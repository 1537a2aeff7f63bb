"""Plain-text files in UTF-8, and the licence that Project Gutenberg puts around a book."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from agent.errors import BasinError
from agent.files.bounded import LONGEST_TEXT, read_whole

TEXT_SUFFIXES = (".txt", ".md")
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""The longer marks come first: that of UTF-32 begins with that of UTF-16."""
TOO_LONG = "cut it into documents, one a file"

BEGIN = re.compile(
    r"^[ \t]*\*{3} ?START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)[^\n]*(?:\n[^\n*]+){0,3}?\*{3}[ \t]*$"
    r"|^[ \t]*\*END[ *]+THE SMALL PRINT![^\n]*\*[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
END = re.compile(
    r"^[ \t]*\*{3} ?END OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)"
    r"|^[ \t]*End of (?:the |this )?Project Gutenberg(?:'s|’s)? ",
    re.MULTILINE | re.IGNORECASE,
)
CREDIT = re.compile(
    r"\A\s*(?:\[?(?:E-?text )?(?:Produced|Prepared|Transcribed|Scanned|Created) by [^\n]*(?:\n(?!\n)[^\n]*)*\n\s*)+",
    re.IGNORECASE,
)
"""The transcriber's paragraph, right after the beginning."""
HEADER = 20_000
"""The beginning mark must stand within this many characters."""


def read_text(path: Path) -> str:
    """The text of a file, with line feeds at its line ends.

    Raises `BasinError` if the file is too long, not UTF-8, or binary.
    """
    return "\n".join(decode(read_whole(path, LONGEST_TEXT, TOO_LONG), str(path)).splitlines())


def decode(content: bytes, name: str, encoding: str = "utf-8-sig") -> str:
    """The text of some bytes; `name` names their source in error sentences.

    Raises `BasinError` if the bytes are in another encoding, or binary.
    """
    if found := next((found for mark, found in BYTE_ORDER_MARKS.items() if content.startswith(mark)), None):
        raise BasinError(f"{name} is {found}, not UTF-8 text: convert it, or take it out of the corpus.")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise BasinError(
                f"{name} declares the encoding {encoding}, but byte {error.start} is not valid in it: "
                "save it as UTF-8."
            ) from None
        raise BasinError(
            f"{name} is not UTF-8 text (byte {error.start}): convert it, or take it out of the corpus."
        ) from error
    if "\0" in text:
        raise BasinError(f"{name} is a binary file, not text: take it out of the corpus.")
    return text


def without_boilerplate(text: str) -> str:
    """A Project Gutenberg book without the licence around it; any other text unchanged.

    The last beginning mark in the header counts, and the first end mark after it.
    """
    begins = list(BEGIN.finditer(text[:HEADER]))
    begin = begins[-1].end() if begins else 0
    end = END.search(text, begin)
    if not begins and not end:
        return text
    book = text[begin : end.start() if end else len(text)]
    return (CREDIT.sub("", book) if begins else book).strip()
