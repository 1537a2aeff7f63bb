"""The text of an HTML or XHTML file, paragraph by paragraph.

The standard library's tokeniser shows what a file leaves open at its end. A tree-building parser
repairs such files silently and can lose text.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from agent.corpora.text import TOO_LONG, decode
from agent.errors import BasinError
from agent.files.bounded import LONGEST_TEXT, read_whole

WEB_SUFFIXES = (".html", ".htm", ".xhtml")
DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']([\w.:-]+)|<meta[^>]{0,500}charset\s*=\s*["']?\s*([\w.:-]+)""",
    re.I,
)
HEAD_BYTES = 4096
"""Where an encoding must be declared. HTML says 1,024; some files put a comment before it."""
ENCODINGS = re.compile(
    r"(us-)?ascii|utf-?8|latin-?1|(iso-?8859|(windows|cp)-?125|koi8|x?-?mac|shift_jis|sjis|euc|gb|big5)[\w-]*",
    re.I,
)
"""Encodings of text; Python also knows codecs such as rot13 that are not."""
WINDOWS_1252 = re.compile(r"(us-)?ascii|latin-?1|iso-?8859-?1", re.I)
"""The HTML standard reads these labels as Windows-1252."""

# fmt: off
NO_TEXT = frozenset((
    "script", "style", "template", "svg", "math", "nav", "select", "object", "iframe", "noframes", "audio", "video", "canvas",
))
"""Elements whose content is not text of the page."""
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "li", "main",
    "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
))
"""Elements that begin and end a paragraph."""
VOID = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
))
BEFORE_BODY = frozenset(("html", "body", "head", "title", "meta", "link", "base"))
# fmt: on


@dataclass(frozen=True)
class WebPage:
    """The text and metadata of a page."""

    text: str
    """Paragraphs separated by an empty line, with single spaces inside them."""
    title: str = ""
    author: str = ""
    kinds: frozenset[str] = frozenset()
    """The `epub:type` of its body and of the elements that begin it."""


def read_web_page(path: Path) -> WebPage:
    """Read a file as `web_page` does."""
    return web_page(read_whole(path, LONGEST_TEXT, TOO_LONG), str(path))


def web_page(content: bytes, name: str) -> WebPage:
    """Parse a page; `name` names it in error sentences.

    Raises `BasinError` if the encoding is unknown or wrong, or the page ends inside a tag, a
    comment or an element without text.
    """
    page = _Page(name)
    try:
        page.feed(_text_of(content, name))
    except AssertionError as error:  # html.parser's error for an unknown declaration
        raise BasinError(
            f"{name} has a declaration that is not HTML near line {page.getpos()[0]}: remove it, or save the page anew."
        ) from error
    except ValueError:  # int() limits the number of digits
        raise BasinError(
            f"{name} has a character reference with too long a number near line {page.getpos()[0]}: remove it."
        ) from None
    page.require_closed()
    page.close()
    return WebPage(page.text, page.title, page.author, frozenset(page.kinds))


def _text_of(content: bytes, name: str) -> str:
    declared = DECLARED.search(content[:HEAD_BYTES])
    encoding = (declared[1] or declared[2]).decode("ascii") if declared else "utf-8"
    marked = content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # A page that declares UTF-16 in ASCII letters is not UTF-16.
    if marked or re.fullmatch(r"utf-?8|utf-?16.*", encoding, re.I):
        return decode(content, name)
    if WINDOWS_1252.fullmatch(encoding):
        encoding = "windows-1252"
    try:
        if not ENCODINGS.fullmatch(encoding):
            raise LookupError
        return decode(content, name, encoding)
    except LookupError:
        raise BasinError(f"{name} declares its encoding as {encoding[:40]!r}: save it as UTF-8.") from None


class _Page(HTMLParser):
    """Collects text between tags, and skips elements without text."""

    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title = self.author = ""
        self.kinds: set[str] = set()
        self._name = name
        self._pieces: list[str] = []
        self._title: list[str] | None = None
        self._title_line = 0
        self._skipped: tuple[str, int] | None = None
        """The element being skipped, and the line where it began."""
        self._depth = 0
        self._preformatted = 0
        self._in_body = False

    @property
    def text(self) -> str:
        whole = "\n".join(line.strip() for line in "".join(self._pieces).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", whole).strip()

    def require_closed(self) -> None:
        """Raise `BasinError` if the file ends inside markup, where text could be lost."""
        if self._title is not None:
            self._skipped = ("title", self._title_line)
        if self._skipped:
            tag, line = self._skipped
            raise BasinError(
                f"{self._name} has a <{tag}> in line {line} that never ends, so the rest of it is not text: close it there."
            )
        rest = self.rawdata.lstrip()
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
        self._in_body = self._in_body or tag not in BEFORE_BODY
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
        self._preformatted += tag == "pre"

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
            self._preformatted = max(self._preformatted - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        if self._title is not None:
            self._title.append(data)
        elif self._preformatted:
            self._pieces.append("\n".join(data.splitlines()) + ("\n" if data.endswith("\n") else ""))
        else:
            self._add(re.sub(r"\s+", " ", data))

    def unknown_decl(self, data: str) -> None:
        """Read <![CDATA[...]]> in XHTML as text."""
        if data.startswith("CDATA["):
            self.handle_data(data.removeprefix("CDATA["))

    def _add(self, data: str) -> None:
        last = self._pieces[-1][-1:] if self._pieces else "\n"
        self._pieces.append(data.lstrip() if last.isspace() else data)
