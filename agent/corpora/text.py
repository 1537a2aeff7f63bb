"""Text in: plain files in UTF-8, the licence around Project Gutenberg's books, and one clean form for all.

Texts of every format, and words and prompts of users, go through `clean_text`.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import regex
from pydantic import AfterValidator

from agent.errors import BasinError, quoted
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


JOINED_SCRIPTS = (
    r"[\p{scx=Arab}\p{scx=Syrc}\p{scx=Mong}\p{scx=Nkoo}\p{scx=Deva}\p{scx=Beng}\p{scx=Guru}\p{scx=Gujr}\p{scx=Orya}"
    r"\p{scx=Taml}\p{scx=Telu}\p{scx=Knda}\p{scx=Mlym}\p{scx=Sinh}\p{scx=Khmr}\p{scx=Mymr}\p{Extended_Pictographic}\p{Emoji_Modifier}]"
)
"""Scripts, and emoji, in which a zero-width joiner or non-joiner changes what is read."""
SPACED_BY_ZERO_WIDTH = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
"""Scripts in which a zero-width space separates words."""
SUSPENDED = frozenset(("and", "or", "to", "und", "oder", "bis", "et", "ou", "y", "o", "e", "en", "of"))
"""Words after a hyphen that stays: pre- and post-war."""


def _whole_pairs(match: Any) -> str:
    return str(match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _printed(match: Any) -> str:
    """A C1 control as browsers read it, in Windows-1252; other control characters are dropped."""
    code = ord(match[0])
    return str(bytes([code]), "cp1252", "ignore") if 0x80 <= code < 0xA0 else ""


def _spelled_out(match: Any) -> str:
    return unicodedata.normalize("NFKC", str(match[0]))


def _join_lines(text: str) -> str:
    """Words cut at line ends, whole; a compound, whose halves are words of the text, stays as it is."""
    if not LINE_END.search(text):
        return text
    known = {word.lower() for word in WORD_OR_COMPOUND.findall(LINE_END.sub("\n", text))}

    def joined(match: Any) -> str:
        first, mark, last = match.groups()
        whole, compound = (first + last).lower() in known, f"{first}-{last}".lower() in known
        halves = first.lower() in known and last in known
        kept = mark != "\u00ad" and (last in SUSPENDED or (not whole and (compound or halves)))
        return str(match[0] if kept else first + last)

    whole: str = LINE_END.sub(joined, text)
    return whole


LINE_END = regex.compile(
    r"(?<!\p{L})(\p{L}*+(?<=\p{Ll}))([-\u2010\u00ac\u00ad])[ \t\xa0]*+[\r\n\f\u2028\u2029][\s\f]{0,9}+(\p{Ll}++)"
)
"""Also at the end of a page, which is a form feed or an empty line."""
WORD_OR_COMPOUND = regex.compile(r"\p{L}+(?:-\p{L}+)*")

INVISIBLE = regex.compile(
    rf"[\u2060-\u2064\ufeff\u200e\u200f\u061c\u202a-\u202e\u2066-\u206f\u180e\u034f\ufff9-\ufffb]"
    rf"|(?<!{SPACED_BY_ZERO_WIDTH}\p{{M}}*)\u200b|(?<!{JOINED_SCRIPTS}[\p{{M}}\ufe0f]*)[\u200c\u200d]"
    r"|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0001-\U000e007f]+"
)
TYPOGRAPHIC = regex.compile(
    r"[\ufb00-\ufb06\ufb13-\ufb17\ufb50-\ufd3d\ufd50-\ufdf1\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uff9f"
    r"\U0001d400-\U0001d7ff]+"
)
"""Ligatures, Arabic presentation forms, full-width and mathematical letters, half-width katakana."""
RULES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("half characters replaced", partial(regex.compile(r"[\ud800-\udfff]+").sub, _whole_pairs)),
    (
        "control characters removed",
        partial(regex.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffe\uffff]").sub, _printed),
    ),
    ("words joined at line ends", _join_lines),
    ("soft hyphens removed", partial(re.compile("\u00ad").sub, "")),
    ("invisible characters removed", partial(INVISIBLE.sub, "")),
    ("ligatures and full-width letters spelled out", partial(TYPOGRAPHIC.sub, _spelled_out)),
)
"""(what was done, where, and the replacement), in this order; then Unicode's composed form, NFC."""
COMPOSED = "decomposed letters composed"
SUSPICIOUS = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff"
    r"\ufb00-\ufdf1\ufe70-\uffff\U0001d400-\U0001d7ff\U000e0001-\U000e007f]|[^\W\d_][-\u2010\xac][ \t\xa0]*[\r\n\f\u2028\u2029]"
)
"""Fast, and true of every text that a rule changes."""


def clean_text(text: str, found: Counter[str] | None = None) -> str:
    """The text as every part of Basin reads it; a text with nothing to clean is returned unchanged.

    Half characters become U+FFFD, control and invisible characters go, words cut at line ends are
    joined, typographic forms of letters become letters, and the whole is in NFC. Joiners stay where
    the script needs them.

    Args:
        found: counts the texts in which each kind was found.
    """
    for kind, rule in RULES if SUSPICIOUS.search(text) else ():
        cleaned = rule(text)
        if cleaned != text and found is not None:
            found[kind] += 1
        text = cleaned
    if unicodedata.is_normalized("NFC", text):
        return text
    if found is not None:
        found[COMPOSED] += 1
    return unicodedata.normalize("NFC", text)


CleanText = Annotated[str, AfterValidator(clean_text)]
"""A setting that is text: a word, or an example."""


def cleaning_note(found: Mapping[str, int], documents: int) -> str | None:
    """A sentence on what `clean_text` did to a corpus; None for nothing."""
    done = [f"{kind} in {count:,}" for kind, count in found.items() if count]
    return f"Texts cleaned, of {documents:,} documents: {', '.join(done)}." if done else None


def given_text(value: object, name: str) -> str:
    """A text given by a user, cleaned; `name` begins the error sentence.

    Raises `BasinError` if it is no string, or holds no visible character.
    """
    if not isinstance(value, str):
        raise BasinError(f"{name} is {quoted(value)}, which is no text: give a string.")
    text = clean_text(str(value))
    if not text.strip():
        raise BasinError(f"{name} is empty: give one with words.")
    return text
