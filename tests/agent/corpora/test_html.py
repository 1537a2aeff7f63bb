"""Text of web pages, complete and without markup; files that could hide text are refused."""

from __future__ import annotations

import pytest

from agent.corpora.html import web_page
from agent.corpora.load import CorpusConfig, load_corpus
from agent.errors import BasinError


def text(markup: str | bytes) -> str:
    return web_page(markup.encode() if isinstance(markup, str) else markup, "page.html").text


def test_paragraphs_lines_and_what_is_no_text() -> None:
    page = web_page(
        b"<!DOCTYPE html><html><head><title>A &amp; B</title><meta name=author content='Ann'><style>p{}</style></head>"
        b"<body><nav>Home</nav><h1>One</h1><p>Two\n   <b>th</b>ree,<br/>four<p>five<script>if (a<b) x()</script> six"
        b"<table><tr><td>a<td>b</table><pre>c\n d</pre>e</body></html>",
        "page.html",
    )
    assert (page.title, page.author) == ("A & B", "Ann")
    assert page.text == "One\n\nTwo three,\nfour\n\nfive six\n\na b\n\nc\nd\n\ne"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>One <b>two<p>three</i> four", "One two\n\nthree four"),
        ("<p>a < b and c & d</p>", "a < b and c & d"),
        ("<div>" * 50_000 + "deep" + "</div>" * 50_000 + "<p>after", "deep\n\nafter"),
        ("<html><head><title/><script/></head><body><p>text<a id='x'/>more</p></body></html>", "textmore"),
        ("<p>one<![CDATA[ <two> ]]>three</p>", "one <two> three"),
        ("&#xD800;&#0;x&eacute;&unknown;", "\ufffd\ufffdxé&unknown;"),
        ("", ""),
    ],
)
def test_malformed_markup_loses_nothing(markup: str, expected: str) -> None:
    assert text(markup) == expected


@pytest.mark.parametrize(
    ("markup", "message"),
    [
        ("<p>One<!-- two <p>three", "ends inside of a comment that begins in line 1"),
        ("<p>whole</p>\n<p cla", "ends inside of a tag that begins in line 2"),
        ("<p>One\n<nav>two<p>three", "a <nav> in line 2 that never ends"),
        ("<script>if (a) {", "a <script> in line 1 that never ends"),
        ("<title>One<p>two", "a <title> in line 1 that never ends"),
        ("<p>One<![foo[ two", "page.html"),
        ("<svg>" * 1000 + "</svg>" * 999, "a <svg> in line 1"),
    ],
)
def test_markup_that_could_hide_text_is_refused(markup: str, message: str) -> None:
    with pytest.raises(BasinError) as raised:
        text(markup)
    assert message in str(raised.value)


def test_encodings_are_as_declared_or_refused() -> None:
    page = "<p>“caf\xe9”</p>"
    assert text(b"\xef\xbb\xbf" + page.encode()) == "“café”"
    assert text(b"<meta charset='iso-8859-1'>" + page.encode("cp1252")) == "“café”"
    assert text(b'<?xml version="1.0" encoding="koi8-r"?>' + "<p>дом</p>".encode("koi8-r")) == "дом"
    for markup, wrong in (
        (b"<p>caf\xe9", "not UTF-8 text"),
        (b"<meta charset=shift_jis><p>\x81", "byte"),
        (b"<meta charset=rot13><p>a", "its encoding as 'rot13'"),
        ("<p>a".encode("utf-16"), "UTF-16"),
        (b"<p>a\0b", "binary"),
    ):
        with pytest.raises(BasinError, match=wrong):
            text(markup)


def test_a_saved_book_loses_its_boilerplate(tmp_path) -> None:
    (tmp_path / "book.html").write_text(
        "<title>The Lamp</title><p>A licence.</p><p>*** START OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</p><p>It was lit.</p>"
        "<p>*** END OF THE PROJECT GUTENBERG EBOOK THE LAMP ***</p><p>More of it.</p>"
    )
    (document,) = load_corpus(CorpusConfig(source=str(tmp_path / "book.html")))
    assert (document.title, document.text) == ("The Lamp", "It was lit.")
