"""EPUB books: the text of their chapters in reading order, with title and author.

The zip is untrusted: nothing is unpacked to disk, names are looked up inside the archive only, and
sizes are counted while a member is unpacked. XML is parsed without entities, DTD or network.
"""

from __future__ import annotations

import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from lxml import etree

from agent.corpora.html import web_page
from agent.errors import BasinError, first_sentence, quoted, shortened
from agent.files.bounded import CHUNK, HIGHEST_RATIO, LONGEST_TEXT, UNPACKED_FREELY, open_file

EPUB_SUFFIX = ".epub"
LARGEST_BOOK = 1 << 30
"""Bytes of the file. Most of a large one is pictures, which are not read."""
MOST_MEMBERS = 20_000
LONGEST_DESCRIPTION = 8 << 20
"""Bytes of the XML that lists the contents."""
PAGES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document", "application/xml", "text/xml")
NOT_THE_BOOK = frozenset(
    [
        "cover",
        "titlepage",
        "halftitlepage",
        "imprint",
        "colophon",
        "copyright-page",
        "toc",
        "loi",
        "lot",
        "landmarks",
    ]
)
"""Parts (`epub:type`) that a publisher adds to an author's text."""
LONGEST_ADDED = 20_000
"""Characters. A longer page that begins as a title page continues with the book itself."""
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)
"""Exceptions of `zipfile` for a damaged file."""
CONTAINER, ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"


def read_epub(path: Path) -> tuple[dict[str, str], str]:
    """(title and author, text) of a book.

    Raises:
        BasinError: the file is no EPUB, damaged, locked or out of proportion; a link leads outside it
            or to a missing part; it holds no text; or a chapter is refused by `web_page`.
    """
    with open_file(path) as file:
        size = _require_few_members(path, file)
        try:
            with zipfile.ZipFile(file) as bundle:
                return _Book(path, bundle, size).read()
        except DAMAGE as error:
            reason = first_sentence(error)[:100]
            raise BasinError(f"{path} is not a whole EPUB file ({reason}): fetch it again.") from error


def _require_few_members(path: Path, file: BinaryIO) -> int:
    """The file's size in bytes; counts the zip's entries first, since `zipfile` would load them all."""
    count, size, before = 0, 0, b""
    while chunk := file.read(CHUNK):
        size += len(chunk)
        count += (before + chunk).count(b"PK\1\2")
        before = chunk[-3:]
        if count > MOST_MEMBERS or size > LARGEST_BOOK:
            raise BasinError(
                f"{path} has more than {MOST_MEMBERS:,} parts or {LARGEST_BOOK >> 30} GiB, which no book has: take it out of "
                "the corpus."
            )
    file.seek(0)
    return size


class _Book:
    def __init__(self, path: Path, bundle: zipfile.ZipFile, size: int) -> None:
        self.path, self.bundle = path, bundle
        self.members = {info.filename: info for info in bundle.infolist()}
        if len(self.members) < len(bundle.infolist()):
            raise BasinError(
                f"{path} has two parts of one name, so it is unclear which is meant: fetch it again."
            )
        self.room = max(UNPACKED_FREELY, HIGHEST_RATIO * size)
        """Bytes that may still be unpacked. Counted over all members, since they may overlap."""

    def read(self) -> tuple[dict[str, str], str]:
        place = self.package_place()
        package = self.xml(place)
        about = {"title": _first(package, "title"), "author": _first(package, "creator")}
        encrypted, pieces, length = self.encrypted(), [], 0
        for member in self.pages(package, place):
            if member in encrypted:
                raise BasinError(
                    f"{self.path} is locked (DRM), and Basin reads open books only: take it out."
                )
            page = web_page(self.content(member, LONGEST_TEXT), f"{self.path}, {shortened(member, 100)}")
            added = page.kinds & NOT_THE_BOOK and len(page.text) < LONGEST_ADDED
            if page.text and not added:
                pieces.append(page.text)
                length += len(page.text)
            if length > LONGEST_TEXT:
                raise BasinError(
                    f"{self.path} holds more than {LONGEST_TEXT >> 20} MiB of text: cut it into smaller books."
                )
        if not pieces:
            raise BasinError(
                f"{self.path} holds no text, only pictures or nothing: take it out of the corpus."
            )
        return about, "\n\n".join(pieces)

    def package_place(self) -> str:
        """The member that lists the book's contents."""
        if CONTAINER not in self.members:
            raise BasinError(f"{self.path} is no EPUB: it has no {CONTAINER}; name a book, or rename it.")
        root = next(self.xml(CONTAINER).iter("{*}rootfile"), None)
        if root is None or not root.get("full-path"):
            raise BasinError(
                f"{self.path} does not say in {CONTAINER} where its contents are: fetch it again."
            )
        return self.inside(root.get("full-path"), "")

    def pages(self, package: Any, place: str) -> Iterator[str]:
        """Members with text, in reading order, without auxiliary pages and the table of contents."""
        items = {item.get("id"): item for item in package.iter("{*}item")}
        spine = next(package.iter("{*}spine"), None)
        if spine is None:
            raise BasinError(f"{self.path} does not say in which order it is read ({place}): fetch it again.")
        seen: set[str] = set()
        for entry in spine.iter("{*}itemref"):
            item = items.get(entry.get("idref"))
            if item is None:
                raise BasinError(
                    f"{self.path} names a chapter {quoted(entry.get('idref'))} that it does not list ({place}): fetch it again."
                )
            properties = (item.get("properties") or "").split()
            if entry.get("linear") == "no" or "nav" in properties or item.get("media-type") not in PAGES:
                continue
            member = self.inside(item.get("href") or "", posixpath.dirname(place))
            if member not in seen:
                seen.add(member)
                yield member

    def inside(self, name: str, folder: str) -> str:
        """The member that a link from `folder` leads to; raises if it leads outside or to nothing."""
        plain = unquote(name.partition("#")[0])
        member = posixpath.normpath(posixpath.join(folder, plain))
        if "://" in plain or member.startswith(("/", "../")) or member == "..":
            raise BasinError(
                f"{self.path} names {quoted(name)}, which lies outside of it: take it out of the corpus."
            )
        if member not in self.members:
            raise BasinError(f"{self.path} names a part {quoted(name)} that is not in it: fetch it again.")
        return member

    def content(self, member: str, most: int) -> bytes:
        """The bytes of a member; raises for more than `most`, or if out of proportion to the file."""
        info = self.members[member]
        if info.flag_bits & 1:
            raise BasinError(
                f"{self.path} is locked with a password: unlock it, or take it out of the corpus."
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BasinError(
                f"{self.path} is packed in a way that no EPUB is: unpack it, and make a new one."
            )
        allowed = min(most, self.room)
        with self.bundle.open(info) as stream:
            content = stream.read(allowed + 1)
        if len(content) > allowed:
            raise BasinError(
                f"{self.path}, {shortened(member, 100)} unpacks to more than a chapter has: take it out of the corpus."
            )
        self.room -= len(content)
        return content

    def xml(self, member: str) -> Any:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            return etree.fromstring(self.content(member, LONGEST_DESCRIPTION), parser)
        except etree.XMLSyntaxError as error:
            line, reason = error.lineno, str(error.msg or "empty")[:100]
            raise BasinError(
                f"{self.path}, {shortened(member, 100)}, line {line} is not XML ({reason}): fetch it again."
            ) from None

    def encrypted(self) -> set[str]:
        """Encrypted members. Fonts often are, in books without DRM."""
        if ENCRYPTION not in self.members:
            return set()
        return {
            posixpath.normpath(unquote(each.get("URI") or ""))
            for each in self.xml(ENCRYPTION).iter("{*}CipherReference")
        }


def _first(package: Any, name: str) -> str:
    """The first of a book's titles or authors."""
    found = next(package.iter(f"{{*}}{name}"), None)
    return " ".join("".join(found.itertext()).split()) if found is not None else ""
