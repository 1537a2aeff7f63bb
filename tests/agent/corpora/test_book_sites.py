"""Books by number and by name, from a server on this machine that behaves as libraries do, and as they should not."""

from __future__ import annotations

import email.utils
import io
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.corpora import downloads, manners
from agent.corpora.book_sites import book_names
from agent.corpora.load import CorpusConfig, iter_records, load_corpus, named_corpus
from agent.errors import BasinError

STORY = "\n\n".join(
    f"In the year {year} the lamp was lit again,\nand nobody knew who had lit it."
    for year in range(1700, 1900)
)
LICENCE = "This text is for the use of anyone.\n\nTitle: The Lamp\nAuthor: Ann Onymous\n\n"
BEGIN, END = (f"*** {what} OF THE PROJECT GUTENBERG EBOOK THE LAMP ***" for what in ("START", "END"))
TEXT = f"\ufeff{LICENCE}{BEGIN}\n\nProduced by Somebody and\nanother\n\n{STORY}\n\n{END}\n\nMuch about a licence.\n"


def book(title: str = "The Lamp", chapters: tuple[str, ...] = (STORY,)) -> bytes:
    """A small EPUB, with a page about its maker."""
    pages = [f"<html><body><p>{chapter}</p></body></html>" for chapter in chapters]
    pages.append(
        "<html><body epub:type='backmatter'><section epub:type='colophon'><p>Made by.</p></section></body></html>"
    )
    items = "".join(
        f'<item id="i{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(pages))
    )
    refs = "".join(f'<itemref idref="i{n}"/>' for n in range(len(pages)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>{title}</dc:title><dc:creator>Ann</dc:creator></metadata>"
        f"<manifest>{items}</manifest><spine>{refs}</spine></package>"
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("META-INF/container.xml", '<container><rootfile full-path="text/a.opf"/></container>')
        bundle.writestr("text/a.opf", package)
        for number, page in enumerate(pages):
            bundle.writestr(f"text/{number}.xhtml", page)
    return sink.getvalue()


class Library:
    """What the server has, what it does wrong, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/cache/epub/7/pg7.txt": TEXT.encode()}
        self.tag = '"one"'
        self.faults: list[tuple] = []
        """For the next requests: ("status", code, headers), ("cut", bytes), ("die",)."""
        self.asked: list[tuple[str, str | None]] = []
        self.agents: set[str] = set()
        self.chunked = False


@pytest.fixture
def library(tmp_path, monkeypatch):
    state = Library()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments) -> None:
            pass

        def do_GET(self) -> None:
            state.agents.add(self.headers["User-Agent"])
            if self.path != "/robots.txt":
                state.asked.append((self.path, self.headers["Range"]))
            content = state.files.get(self.path)
            fault = state.faults.pop(0) if state.faults and self.path != "/robots.txt" else ("none",)
            if fault[0] == "die":
                self.close_connection = True
                return
            if fault[0] == "status" or content is None:
                self.send_response(fault[1] if fault[0] == "status" else 404)
                for name, value in fault[2].items() if fault[0] == "status" else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            begin = 0
            if self.headers["Range"] and self.headers["If-Range"] == state.tag:
                begin = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            if state.tag:
                self.send_header("ETag", state.tag)
            rest = content[begin:]
            if state.chunked:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: fault[1]] if fault[0] == "cut" else rest)
            self.close_connection = state.chunked or fault[0] == "cut"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    state.slept = []
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(manners, "sleep", state.slept.append)
    monkeypatch.setattr(manners, "_rules", {})
    yield state
    server.shutdown()
    server.server_close()


def load(library: Library, source: str = "gutenberg:7", said: list[str] | None = None):
    config = CorpusConfig(source=source, mirror=library.address)
    return load_corpus(config)


def refusal(library: Library, source: str = "gutenberg:7") -> str:
    with pytest.raises(BasinError) as told:
        load(library, source)
    assert "\n" not in str(told.value) and "Traceback" not in str(told.value)
    return str(told.value)


def test_a_book_by_number_is_the_book_alone_fetched_once(library) -> None:
    (document,) = load(library)
    assert (document.title, document.author) == ("The Lamp", "Ann Onymous")
    assert document.text.startswith("In the year 1700 the lamp was lit again, and nobody")
    assert document.text.endswith("who had lit it.") and "licence" not in document.text
    assert [path for path, _ in library.asked] == ["/cache/epub/7/pg7.epub", "/cache/epub/7/pg7.txt"]
    assert all(agent.startswith("basin/") for agent in library.agents)
    library.files.clear()
    assert load(library) == [document]
    assert len(library.asked) == 2


def test_what_is_damaged_in_the_cache_is_fetched_again(library, tmp_path) -> None:
    documents = load(library)
    (kept,) = (tmp_path / "cache" / "books" / "files").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert load(library) == documents and len(library.asked) == 4


def test_several_books_in_the_order_of_their_names(library) -> None:
    library.files |= {f"/cache/epub/{n}/pg{n}.epub": book(f"Book {n}", (f"{STORY} {n}.",)) for n in (12, 3)}
    said: list[str] = []
    assert [each.title for each in load(library, "gutenberg:12, 3,7", said)] == [
        "Book 12",
        "Book 3",
        "The Lamp",
    ]
    assert "Project Gutenberg: book 2 of 3, 3" in said
    assert sum(wait > 1 for wait in library.slept) >= len(library.asked) - 1


def test_a_standard_ebook_by_name_without_its_colophon(library) -> None:
    library.files["/ebooks/ann/the-lamp/downloads/ann_the-lamp.epub?source=download"] = book()
    config = CorpusConfig(source="standard-ebooks:ann/the-lamp", mirror=library.address)
    ((record, text),) = iter_records(config)
    assert record["title"] == "The Lamp" and record["book"] == "standard-ebooks:ann/the-lamp"
    assert "lamp" in text and "Made by" not in text


def test_half_downloads_go_on_where_they_broke_off(library) -> None:
    library.faults = [("status", 404, {}), ("cut", 1000), ("cut", 5000), ("die",)]
    (document,) = load(library)
    assert document.text.count("In the year") == 200
    assert [span for _, span in library.asked[2:]] == ["bytes=1000-", "bytes=6000-", "bytes=6000-"]


def test_a_fetch_that_was_given_up_goes_on_next_time(library) -> None:
    library.faults = [("status", 404, {}), ("cut", 3000)] + [("status", 503, {})] * downloads.TRIES
    assert "goes on where it was" in refusal(library)
    library.asked.clear()
    assert len(load(library)) == 1
    assert library.asked[-1][1] == "bytes=3000-"


def test_a_file_that_changed_meanwhile_is_begun_again(library) -> None:
    library.faults = [("status", 404, {}), ("cut", 3000)] + [("die",)] * downloads.TRIES
    refusal(library)
    library.tag = '"two"'
    library.files["/cache/epub/7/pg7.txt"] = TEXT.replace("lamp", "fire").encode()
    (document,) = load(library)
    assert "lamp" not in document.text.lower() and document.text.count("fire") == 200


def test_without_a_tag_nothing_is_pieced_together(library) -> None:
    library.tag = ""
    library.faults = [("status", 404, {}), ("cut", 3000)]
    load(library)
    assert [span for _, span in library.asked] == [None, None, None]


@pytest.mark.parametrize("status", [429, 503])
def test_as_long_as_the_server_asks_is_waited_and_no_longer_than_is_sensible(library, status) -> None:
    library.faults = [("status", status, {"Retry-After": "17"})]
    assert len(load(library)) == 1
    assert 17.0 in library.slept
    library.files["/cache/epub/8/pg8.txt"] = TEXT.encode()
    later = email.utils.formatdate(time.time() + 7200, usegmt=True)
    library.faults = [("status", status, {"Retry-After": later})]
    assert "asks to wait for 7" in refusal(library, "gutenberg:8")


def test_a_server_that_is_dead_or_always_dies(library) -> None:
    library.faults = [("die",)] * 20
    assert "cannot be fetched" in refusal(library)
    assert len(library.asked) == downloads.TRIES
    config = CorpusConfig(source="gutenberg:7", mirror="http://127.0.0.1:9/")
    with pytest.raises(BasinError, match="check the network, try again"):
        load_corpus(config)


def test_no_such_book(library) -> None:
    assert "Project Gutenberg has no book 99 (asked at" in refusal(library, "gutenberg:99")


def test_robots_are_told_to_stay_out_and_do(library) -> None:
    library.files["/robots.txt"] = b"User-agent: *\nDisallow: /cache/\n"
    assert "asks programs not to fetch" in refusal(library)
    assert library.asked == []


def test_who_refuses_programs_is_named_with_what_to_do(library) -> None:
    library.faults = [("status", 403, {})]
    assert "refuses" in (said := refusal(library)) and "corpus.mirror" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Please prove that you are human", "A web page came instead of a book"),
        (TEXT[: len(TEXT) // 2].encode(), "may be half of one"),
        (book()[:500], "not a whole EPUB"),
        (b"PK\3\4 nothing", "not a whole EPUB"),
    ],
)
def test_what_is_no_book_is_not_kept(library, content, said, tmp_path) -> None:
    library.chunked = True  # so that nobody says how long it is
    library.files["/cache/epub/7/pg7.epub"] = content
    assert said in refusal(library)
    assert not list((tmp_path / "cache" / "books").glob("*.json"))
    library.files["/cache/epub/7/pg7.epub"] = book()
    assert len(load(library)) == 1


def test_an_endless_answer_is_ended(library, monkeypatch) -> None:
    monkeypatch.setattr(downloads, "LARGEST_FILE", 9000)
    assert "more than a book" in refusal(library)
    library.chunked = True
    assert "more than a book" in refusal(library)


@pytest.mark.parametrize(
    "source", ["gutenberg:", "gutenberg:sherlock", "gutenberg:7,,8", "gutenberg:7,7", "gutenberg:../7"]
)
def test_names_that_are_none(source) -> None:
    with pytest.raises(ValueError, match="write for example gutenberg:1661|named twice"):
        book_names(source)


def test_a_name_that_is_none_is_one_sentence_on_the_command_line() -> None:
    with pytest.raises(
        BasinError, match="There is no such corpus: 'sherlock' is no book of Project Gutenberg"
    ):
        named_corpus("gutenberg:sherlock")


def test_what_is_misspelt_is_guessed() -> None:
    with pytest.raises(BasinError, match="did you mean gutenberg:7?"):
        load_corpus(CorpusConfig(source="gutenburg:7"))
    with pytest.raises(BasinError, match="has no fields to choose from"):
        load_corpus(CorpusConfig(source="gutenberg:7", text_field="body"))
