"""The text of an HTML or XHTML file, paragraph by paragraph, and a sentence where some of it could be lost.

The standard library's tokeniser reads it: nothing is nested in memory, so nothing is too deep, and what was left open at the
end is there to be seen. A parser that builds a tree mends such a file in silence, and what it mends away is gone.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from agent.errors import BasinError
from agent.files.bounded import LONGEST_TEXT, read_whole

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


WEB_SUFFIXES = (".html", ".htm", ".xhtml")
DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']([\w.:-]+)|<meta[^>]{0,500}charset\s*=\s*["']?\s*([\w.:-]+)""",
    re.I,
)
HEAD_BYTES = 4096
"""Where an encoding has to be declared; HTML says 1,024, and some files have a comment before it."""
ENCODINGS = re.compile(
    r"(us-)?ascii|utf-?8|latin-?1|(iso-?8859|(windows|cp)-?125|koi8|x?-?mac|shift_jis|sjis|euc|gb|big5)[\w-]*",
    re.I,
)
"""Encodings of text; Python knows others that are none."""
AS_BROWSERS_DO = re.compile(r"(us-)?ascii|latin-?1|iso-?8859-?1", re.I)
"""What calls itself so is Windows-1252 more often than not, and HTML says to read it as that."""

# fmt: off
NO_TEXT = frozenset((
    "script", "style", "template", "svg", "math", "nav", "select", "object", "iframe", "noframes", "audio", "video", "canvas",
))
"""What stands in these is not the text of a page."""
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "li", "main",
    "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
))
"""Before and after these a new paragraph begins."""
VOID = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
))
# fmt: on


@dataclass(frozen=True)
class WebPage:
    """What a page holds, and what it says of itself."""

    text: str
    """Paragraphs parted by an empty line; white space within them is one space, but for line ends that were meant."""
    title: str = ""
    author: str = ""
    kinds: frozenset[str] = frozenset()
    """The `epub:type` of its body and of what its body begins with."""


def read_web_page(path: Path) -> WebPage:
    """As `web_page`, of a file."""
    return web_page(read_whole(path, LONGEST_TEXT, "cut it into documents, one a file"), str(path))


def web_page(content: bytes, name: str) -> WebPage:
    """The text of a page and what it says of itself; `name` is how sentences call it.

    Raises `BasinError` for an encoding that is unknown or does not fit, and where something is left open at the end: an
    element whose content is no text, a comment, a tag.
    """
    page = _Page(name)
    try:
        page.feed(_text_of(content, name))
    except AssertionError as error:  # html.parser's way to say that it knows no such declaration
        raise BasinError(
            f"{name} has a declaration that is not HTML near line {page.getpos()[0]}: remove it, or save the page anew."
        ) from error
    except ValueError:  # Python reads no number of more than some thousand digits
        raise BasinError(
            f"{name} names a character by a number too long to be one near line {page.getpos()[0]}: remove it."
        ) from None
    page.require_whole()
    page.close()
    return WebPage(page.text, page.title, page.author, frozenset(page.kinds))


def _text_of(content: bytes, name: str) -> str:
    declared = DECLARED.search(content[:HEAD_BYTES])
    encoding = (declared[1] or declared[2]).decode("ascii") if declared else "utf-8"
    marked = content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or re.fullmatch(
        r"utf-?8|utf-?16.*", encoding, re.I
    ):  # what declares UTF-16 in ASCII is not UTF-16
        return decoded(content, Path(name))
    if AS_BROWSERS_DO.fullmatch(encoding):
        encoding = "windows-1252"
    try:
        if not ENCODINGS.fullmatch(encoding):
            raise LookupError
        text = content.decode(encoding)
    except LookupError:
        raise BasinError(f"{name} says that its encoding is {encoding[:40]!r}: save it as UTF-8.") from None
    except UnicodeDecodeError as error:
        raise BasinError(
            f"{name} says that its encoding is {encoding}, and byte {error.start} is not: save it as UTF-8."
        ) from None
    if "\0" in text:
        raise BasinError(f"{name} is a binary file, not text: take it out of the corpus.")
    return text


class _Page(HTMLParser):
    """Gathers text between tags; whatever has no text is passed over until it is closed."""

    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title = self.author = ""
        self.kinds: set[str] = set()
        self._name = name
        self._pieces: list[str] = []
        self._title: list[str] | None = None
        self._title_line = 0
        self._skipped: tuple[str, int] | None = None
        """What is passed over, and the line that it began in."""
        self._depth = 0
        self._as_it_is = 0
        self._in_body = False

    @property
    def text(self) -> str:
        whole = "\n".join(line.strip() for line in "".join(self._pieces).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", whole).strip()

    def require_whole(self) -> None:
        """Raise where the file ends inside of something that is no text: what stood in it would be lost, or be text."""
        rest = self.rawdata.lstrip()
        if self._title is not None:
            self._skipped = ("title", self._title_line)
        if self._skipped:
            tag, line = self._skipped
            raise BasinError(
                f"{self._name} has a <{tag}> in line {line} that never ends, so the rest of it is not text: close it there."
            )
        if re.match(r"<[a-zA-Z/!?]", rest):
            what = "a comment" if rest.startswith("<!--") else "a tag"
            raise BasinError(
                f"{self._name} ends inside of {what} that begins in line {self.getpos()[0]}: it is cut short; fetch it again."
            )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipped:
            self._depth += tag == self._skipped[0]
        elif tag in NO_TEXT:
            self._skipped, self._depth = (tag, self.getpos()[0]), 1
        else:
            self._begin(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in NO_TEXT or self._skipped:
            return
        self._begin(tag, dict(attrs))
        if tag not in VOID:
            self.handle_endtag(tag)

    def _begin(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "body" or not self._in_body:
            self.kinds |= set((attributes.get("epub:type") or "").split())
        self._in_body = self._in_body or tag not in ("html", "body", "head", "title", "meta", "link", "base")
        if tag == "title":
            self._title, self._title_line = [], self.getpos()[0]
        elif tag == "meta" and (attributes.get("name") or "").lower() == "author":
            self.author = self.author or attributes.get("content") or ""
        elif tag == "br":
            self._pieces.append("\n")
        elif tag in ("td", "th"):
            self._add(" ")
        if tag in BLOCKS:
            self._pieces.append("\n\n")
        self._as_it_is += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            self._depth -= tag == self._skipped[0]
            if not self._depth:
                self._skipped = None
            return
        if tag == "title" and self._title is not None:
            self.title = self.title or " ".join("".join(self._title).split())
            self._title = None
        if tag in BLOCKS:
            self._pieces.append("\n\n")
        if tag == "pre":
            self._as_it_is = max(self._as_it_is - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        if self._title is not None:
            self._title.append(data)
        elif self._as_it_is:
            self._pieces.append("\n".join(data.splitlines()) + ("\n" if data.endswith("\n") else ""))
        else:
            self._add(re.sub(r"\s+", " ", data))

    def unknown_decl(self, data: str) -> None:
        """XHTML may have text in <![CDATA[...]]>."""
        if data.startswith("CDATA["):
            self.handle_data(data.removeprefix("CDATA["))

    def _add(self, data: str) -> None:
        last = self._pieces[-1][-1:] if self._pieces else "\n"
        self._pieces.append(data.lstrip() if last.isspace() else data)
