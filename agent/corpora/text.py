"""What Project Gutenberg puts around a book: found by its own marks, and taken off.

Every file of theirs says where the book begins and ends, though not always in the same words. Without the licence around them,
two books have nothing in common that their authors did not write.
"""

from __future__ import annotations

import re

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
"""Who typed it; a paragraph right after the beginning."""
LINE = re.compile(r"^(Title|Author):[ \t]*(.+(?:\n[ \t]+\S.*)*)", re.MULTILINE)
HEADER = 20_000
"""Characters in which the beginning must be, and that title and author are looked for in."""


def without_boilerplate(text: str) -> tuple[dict[str, str], str, bool]:
    """(title and author where the header says them, the book itself, whether both marks were there).

    A text without marks is given back as it is. Of several beginnings in the header the last counts, of ends the first
    after it.
    """
    head = text[:HEADER]
    begins = list(BEGIN.finditer(head))
    begin = begins[-1].end() if begins else 0
    end = END.search(text, begin)
    about = {}
    if begins:
        about = {
            name.lower(): " ".join(value.split()) for name, value in reversed(LINE.findall(head[:begin]))
        }
    book = text[begin : end.start() if end else len(text)]
    if begins:
        book = CREDIT.sub("", book)
    return about, book.strip() if begins or end else text, bool(begins and end)
