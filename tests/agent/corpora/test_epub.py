"""EPUB books: chapters in reading order; and what is locked, damaged, a bomb or leads out of the book is named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from agent.corpora import epub
from agent.corpora.epub import read_epub
from agent.corpora.load import CorpusConfig, load_corpus
from agent.errors import BasinError

CONTAINER = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>The  Lamp</dc:title><dc:creator>Ann</dc:creator><dc:creator>Bob</dc:creator></metadata><manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="two" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="text/one.xhtml#start" media-type="application/xhtml+xml"/>
<item id="note" href="text/note.xhtml" media-type="application/xhtml+xml"/>
<item id="cover" href="cover.svg" media-type="image/svg+xml"/>
</manifest><spine><itemref idref="cover"/><itemref idref="nav"/><itemref idref="one"/><itemref idref="two"/>
<itemref idref="note" linear="no"/></spine></package>"""
PARTS = {
    "META-INF/container.xml": CONTAINER,
    "OPS/book.opf": PACKAGE,
    "OPS/nav.xhtml": "<body>Contents</body>",
    "OPS/text/one.xhtml": "<html><head><title>x</title></head><body><p>It was&nbsp;dark.</p></body></html>",
    "OPS/text/two b.xhtml": "<body><p>It was lit.</p></body>",
    "OPS/text/note.xhtml": "<body>A note.</body>",
    "OPS/cover.svg": "<svg/>",
}


def book(path: Path, **changes: str | bytes | None) -> Path:
    """A book with some parts changed, or left out."""
    parts = {
        **PARTS,
        **{name.replace("__", "/").replace("_dot_", "."): value for name, value in changes.items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in parts.items():
            if content is not None:
                bundle.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.epub"


def refusal(path: Path) -> str:
    with pytest.raises(BasinError) as raised:
        read_epub(path)
    assert path.name in str(raised.value)
    return str(raised.value)


def test_chapters_in_reading_order_with_title_and_author(path: Path) -> None:
    assert read_epub(book(path)) == ({"title": "The Lamp", "author": "Ann"}, "It was dark.\n\nIt was lit.")


def test_a_folder_of_books_of_every_kind(path: Path) -> None:
    book(path)
    (path.parent / "page.xhtml").write_text("<title>A page</title><p>A page.")
    (path.parent / "plain.txt").write_text("Plain.")
    documents = load_corpus(CorpusConfig(source=str(path.parent)))
    assert [(each.title, each.author) for each in documents] == [
        ("The Lamp", "Ann"),
        ("A page", ""),
        ("plain", ""),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"META-INF__container.xml": None}, "is no EPUB"),
        ({"META-INF__container.xml": "<container/>"}, "does not say"),
        ({"META-INF__container.xml": "<container>"}, "line 1 is not XML"),
        ({"META-INF__container.xml": CONTAINER.replace("OPS", "/etc")}, "lies outside of it"),
        ({"META-INF__container.xml": CONTAINER.replace("OPS", "..")}, "lies outside of it"),
        ({"OPS__book.opf": PACKAGE.replace("text/one", "../../one")}, "lies outside of it"),
        ({"OPS__book.opf": PACKAGE.replace("text/one", "%2e%2e/%2e%2e/one")}, "lies outside of it"),
        ({"OPS__book.opf": PACKAGE.replace("text/one", "http://a/b")}, "lies outside of it"),
        ({"OPS__book.opf": PACKAGE.replace('idref="one"', 'idref="three"')}, "that it does not list"),
        ({"OPS__book.opf": PACKAGE.replace("<spine>", "<s>").replace("</spine>", "</s>")}, "in which order"),
        ({"OPS__text__one.xhtml": None}, "that is not in it"),
        ({"OPS__text__one.xhtml": "<p>One<!-- two"}, "one.xhtml ends inside of a comment"),
        ({"OPS__text__one.xhtml": "", "OPS__text__two b.xhtml": "<body/>"}, "holds no text"),
        (
            {"META-INF__encryption.xml": '<e><CipherReference URI="OPS/text/one.xhtml"/></e>'},
            "is locked (DRM)",
        ),
    ],
)
def test_what_is_wrong_is_named(path: Path, changes: dict, message: str) -> None:
    assert message in refusal(book(path, **changes))


def test_hidden_fonts_are_no_lock(path: Path) -> None:
    book(path, **{"META-INF__encryption.xml": '<e><CipherReference URI="OPS/font.otf"/></e>'})
    assert read_epub(path)[1].startswith("It was dark")


def test_entities_are_not_spelt_out_and_no_file_is_read_through_them(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("A secret.")
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    declared = f'<!DOCTYPE package [<!ENTITY a0 "x">{bomb}<!ENTITY s SYSTEM "file://{tmp_path}/secret.txt">]>'
    package = PACKAGE.replace("<package", f"{declared}<package", 1).replace("The  Lamp", "The &a11;&s; Lamp")
    assert "is not XML" in refusal(book(path, **{"OPS__book.opf": package}))
    about, _ = read_epub(book(path, **{"OPS__book.opf": package.replace("&a11;", "&a1;")}))
    assert about["title"] == "The &a1;&s; Lamp"


@pytest.mark.parametrize("cut", [0, 10, 300, -30])
def test_a_damaged_book_is_told(path: Path, cut: int) -> None:
    content = book(path).read_bytes()
    path.write_bytes(content[:cut])
    assert "not a whole EPUB" in refusal(path)
    (path.parent / "other.epub").write_bytes(content[:200] + bytes(40) + content[240:])
    with pytest.raises(BasinError, match="other.epub"):
        read_epub(path.parent / "other.epub")


def test_bombs_are_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub, "UNPACKED_FREELY", 1 << 20)
    assert "unpacks to more than a chapter has" in refusal(
        book(path, **{"OPS__text__one.xhtml": "a" * (3 << 20)})
    )
    monkeypatch.setattr(epub, "MOST_MEMBERS", 5)
    assert "which no book has" in refusal(book(path))


def test_what_lies_over_each_other_counts_every_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub, "UNPACKED_FREELY", 1 << 20)
    monkeypatch.setattr(epub, "HIGHEST_RATIO", 1)
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="text/html"/>' for n in range(4))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(4))
    package = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
    chapters = {f"OPS__c{n}.xhtml": "a" * (400 << 10) for n in range(4)}
    assert "c2.xhtml unpacks to more" in refusal(book(path, **{"OPS__book.opf": package}, **chapters))


def test_two_parts_of_one_name_and_a_password(path: Path) -> None:
    with pytest.warns(UserWarning), zipfile.ZipFile(book(path), "a") as bundle:
        bundle.writestr("OPS/book.opf", PACKAGE)
    assert "two parts of one name" in refusal(path)
    sink = io.BytesIO(book(path).read_bytes())
    content = bytearray(sink.getvalue())
    entry = content.find(b"PK\1\2")
    content[entry + 8] |= 1  # says that the container is locked with a password
    path.write_bytes(content)
    assert "locked with a password" in refusal(path)
