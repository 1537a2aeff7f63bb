"""Books by name from public libraries: Project Gutenberg by number, Standard Ebooks by author and title.

One interface: a site knows how its books are named and where they lie, and everything else is the same for all. A book is
fetched once; later runs read it from the cache and ask nobody.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.corpora.downloads import Missing, fetch_first
from agent.corpora.epub import EPUB_SUFFIX, read_epub
from agent.corpora.html import decoded
from agent.corpora.manners import Manners
from agent.corpora.tables import Record
from agent.corpora.text import without_boilerplate
from agent.errors import BasinError, quoted, shortened
from agent.files.bounded import LONGEST_TEXT, read_whole
from agent.progress import advance

logger = logging.getLogger(__name__)

MOST_BOOKS = 500
"""Of one corpus; who wants more should take a copy of the whole library."""


@dataclass(frozen=True)
class Site:
    """A library on the web."""

    name: str
    base: str
    """Where it is asked, unless `corpus.mirror` names another address."""
    named: re.Pattern[str]
    """What a name of a book looks like."""
    example: str
    addresses: Callable[[str], tuple[str, ...]]
    """Where a book may lie, from the base on; the best first."""
    seconds_between: float

    def manners(self, mirror: str | None) -> Manners:
        remedy = "set corpus.mirror to the address of a mirror that welcomes programs, or put the book itself into a folder"
        return Manners(self.seconds_between, self.name if mirror is None else mirror, remedy)


def _gutenberg(number: str) -> tuple[str, ...]:
    """The book without pictures, its text, and its text where mirrors without generated files have it."""
    folder = "/".join(number[:-1]) or "0"
    return (
        f"cache/epub/{number}/pg{number}.epub",
        f"cache/epub/{number}/pg{number}.txt",
        f"{folder}/{number}/{number}-0.txt",
        f"{folder}/{number}/{number}.txt",
    )


def _standard(name: str) -> tuple[str, ...]:
    return (f"ebooks/{name}/downloads/{name.replace('/', '_')}.epub?source=download",)


SITES = {
    # Gutenberg's own address is for people; this one is a mirror that it names for programs.
    "gutenberg": Site(
        "Project Gutenberg",
        "https://gutenberg.pglaf.org",
        re.compile(r"[1-9]\d{0,5}"),
        "gutenberg:1661,2852",
        _gutenberg,
        2.0,
    ),
    "standard-ebooks": Site(
        "Standard Ebooks",
        "https://standardebooks.org",
        re.compile(r"[a-z0-9-]{1,100}(_[a-z0-9-]{1,100})*(/[a-z0-9_-]{1,150}){1,4}"),
        "standard-ebooks:arthur-conan-doyle/the-adventures-of-sherlock-holmes",
        _standard,
        2.0,
    ),
}


def book_names(source: str) -> tuple[str, list[str]] | None:
    """(key of the site, names of the books) of a source that names books, or None; `ValueError` says what is wrong with it."""
    key, colon, rest = source.partition(":")
    if not colon or key not in SITES:
        return None
    site = SITES[key]
    names = [name.strip().strip("/") for name in rest.split(",")]
    for name in names:
        if not site.named.fullmatch(name):
            raise ValueError(
                f"{shortened(name, 60)!r} is no book of {site.name}; write for example {site.example}"
            )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"the book {twice} is named twice")
    if len(names) > MOST_BOOKS:
        raise ValueError(
            f"more than {MOST_BOOKS} books of {site.name}: take a copy of the library, and name its folder"
        )
    return key, names


def read_books(key: str, names: list[str], mirror: str | None) -> Iterator[tuple[Record, str]]:
    """(title, author, name and address, text) of every book, in order; raises `BasinError` for one that is not to be had."""
    site = SITES[key]
    base = (mirror or site.base).rstrip("/")
    for at, name in enumerate(names, 1):
        if len(names) > 1:
            advance(site.name, at, len(names), "books")
        kept = f"{base}\n{key}\n{name}"
        addresses = [f"{base}/{place}" for place in site.addresses(name)]
        try:
            path, address = fetch_first(kept, addresses, site.manners(mirror), _require_book)
        except Missing:
            raise BasinError(
                f"{site.name} has no book {name} (asked at {base}): check its name, it is as in {site.example}."
            ) from None
        about, text = _book(path)
        yield {**about, "book": f"{key}:{name}", "address": address}, text


def _book(path: Path) -> tuple[dict[str, str], str]:
    """(title and author, text without what the library put around it) of a file in the cache."""
    if path.suffix == EPUB_SUFFIX:
        about, text = read_epub(path)
        return about, without_boilerplate(text)[1]
    content = read_whole(path, LONGEST_TEXT, "name another book")
    try:
        text = decoded(content, path)
    except BasinError:
        text = content.decode("cp1252", errors="replace")  # old texts are not in UTF-8
    about, text, _ = without_boilerplate("\n".join(text.splitlines()))
    return about, _unwrapped(text)


def _unwrapped(text: str) -> str:
    """The same text with its lines joined to paragraphs; lines that are set in, as verse is, stay."""
    paragraphs = re.split(r"\n[ \t]*\n+", text)
    return "\n\n".join(
        each if re.search(r"^[ \t]{2,}\S", each, re.MULTILINE) else " ".join(each.split())
        for each in paragraphs
        if each.strip()
    )


def _require_book(path: Path) -> None:
    """Raise `BasinError` where a server sent something else than a book, or half of one without saying how long it is."""
    with path.open("rb") as stream:
        head = stream.read(1024).lstrip()
    if head[:1] == b"<":
        raise BasinError(
            f"A web page came instead of a book ({quoted(head[:40].decode('latin-1'))}): the library may want people only; set "
            "corpus.mirror, or put the book itself into a folder."
        )
    if head[:2] == b"PK":
        read_epub(path)
    elif not without_boilerplate("\n".join(path.read_bytes().decode("latin-1").splitlines()))[2]:
        raise BasinError(
            "A text came without the marks where the book begins and ends, so it may be half of one: try again."
        )
