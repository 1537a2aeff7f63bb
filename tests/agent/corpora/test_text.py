"""Plain text in UTF-8, and the boilerplate of Project Gutenberg."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections import Counter

import pytest

from agent.corpora.load import CorpusConfig, load_corpus
from agent.corpora.text import clean_text, cleaning_note, decode, given_text, without_boilerplate
from agent.errors import BasinError
from agent.pointer.examples import from_keywords
from agent.pointer.given import PointerConfig
from agent.pointer.topic_model import TopicsConfig, word_numbers
from agent.types import Document, document_id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text".encode("utf-16"), "UTF-16"),
        ("text".encode("utf-32"), "UTF-32"),
        (b"caf\xe9", "byte 3"),
        (b"\xed\xa0\x80", "not UTF-8"),
        (b"a\0b", "binary"),
    ],
)
def test_other_encodings_are_named(content: bytes, message: str) -> None:
    with pytest.raises(BasinError, match=message):
        decode(content, "a.txt")


def test_project_gutenberg_boilerplate_is_removed() -> None:
    begin, end = (f"*** {what} OF THE PROJECT GUTENBERG EBOOK THE LAMP ***" for what in ("START", "END"))
    book = "It was lit.\n\nIt went out."
    credit = "Produced by Somebody and\nanother\n\n"
    assert without_boilerplate(f"Title: The Lamp\n\n{begin}\n\n{credit}{book}\n\n{end}\nA licence.") == book
    old = f"Contents\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*\n{book}\nEnd of the Project Gutenberg's Lamp"
    assert without_boilerplate(old) == book
    assert without_boilerplate(f" {book} ") == f" {book} "


FAMILY = "\U0001f469\u200d\U0001f52c"
UNCHANGED = [
    "plain",
    "“Quoted” — naïve …",
    "می\u200cخواهم",
    "क्\u200dष",
    FAMILY,
    "ตำรวจ\u200bสืบสวน",
    "，！",
    "a - b\nc",
    "two\n\nlines",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_a_text_with_nothing_to_clean_is_the_same(text: str) -> None:
    assert clean_text(text) is text


@pytest.mark.parametrize(
    ("text", "clean", "kind"),
    [
        ("de\u0301tective", "d\u00e9tective", "composed"),
        ("detec\u00adtive", "detective", "soft hyphens"),
        ("detec\u200btive", "detective", "invisible"),
        ("detec\u200dtive \u2060and\ufeff \u200eso\u202c", "detective and so", "invisible"),
        ("detec-\ntive", "detective", "line ends"),
        ("detec\u00ad\r\n  tive", "detective", "line ends"),
        ("detec-\n\n\ftive", "detective", "line ends"),
        ("detec-\u00a0\u2028tive", "detective", "line ends"),
        ("detec-\rtive", "detective", "line ends"),
        ("a well-\n\nknown man. Well, he was known.", "a well-\n\nknown man. Well, he was known.", ""),
        ("Detek\u00ac\ntive", "Detektive", "line ends"),
        ("a well-\nknown man. Well, he was known.", "a well-\nknown man. Well, he was known.", ""),
        (
            "his re-\nvolver; a revolver, re and volver",
            "his revolver; a revolver, re and volver",
            "line ends",
        ),
        ("pre-\nand post-war", "pre-\nand post-war", ""),
        ("Anglo-\nSaxon, 1914-\n18", "Anglo-\nSaxon, 1914-\n18", ""),
        ("o\ufb03ce \ufb01nger", "office finger", "ligatures"),
        ("\uff24\uff2e\uff21", "DNA", "full-width"),
        ("half: \ud83d", "half: \ufffd", "half characters"),
        ("pair: \ud83d\ude00", "pair: \U0001f600", "half characters"),
        ("don\x92t\x02 stop", "don’t stop", "control"),
        ("detec\ufffetive", "detective", "control"),
    ],
)
def test_each_kind_is_cleaned_and_counted(text: str, clean: str, kind: str) -> None:
    found: Counter[str] = Counter()
    assert clean_text(text, found) == clean
    assert [kind in each for each in found] == [True] * bool(kind)
    assert clean_text(clean) == clean


def test_every_format_passes_the_same_door(tmp_path, caplog) -> None:
    broken, whole = "Le de\u0301tec\u00adtive e\u0301tait la\u0300.", "Le détective était là."
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.txt").write_text(broken, encoding="utf-8")
    (folder / "b.html").write_text(f"<p>{broken.replace(chr(0xAD), '&shy;')}</p>", encoding="utf-8")
    table = tmp_path / "c.jsonl"
    table.write_text(
        json.dumps({"text": broken, "title": "Re\u0301gie"}) + "\n" + json.dumps({"text": "half \ud83d"})
    )
    with caplog.at_level(logging.INFO):
        found = [
            *load_corpus(CorpusConfig(source=str(folder))),
            *load_corpus(CorpusConfig(source=str(table))),
        ]
    assert [each.text for each in found] == [whole] * 3 + ["half \ufffd"]
    assert found[0].id == document_id(whole) and found[2].title == "Régie"
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == (
        "Texts cleaned, of 2 documents: soft hyphens removed in 2, decomposed letters composed in 2."
    )
    assert len(said) == 2 and "half characters replaced in 1" in said[1]
    assert cleaning_note({}, 3) is None


def test_words_that_a_user_gives_are_the_texts_words() -> None:
    apart = unicodedata.normalize("NFD", "détective")
    assert TopicsConfig(words=(apart,), seed_words=("detec\u00adtive",)).words == ("détective",)
    assert PointerConfig(keywords=(apart,)).keywords == ("détective",)
    assert PointerConfig(examples=("half \ud83d",)).examples == ("half \ufffd",)
    assert word_numbers(("dog", "watson"), ("Watson’s", "DOG", "cat")) == [1, 0]
    assert word_numbers(("istanbul",), ("İSTANBUL",), "tr") == [0]
    model = from_keywords(("Watson’s",), [Document("a", "watson watson dog"), Document("b", "dog")])
    assert model.top_words(0, 1) == ["watson"]


@pytest.mark.parametrize("value", [None, 3, b"bytes", ["a list"], float("nan"), "", " \u200b"])
def test_what_is_no_text_is_one_sentence(value: object) -> None:
    with pytest.raises(BasinError, match=r"^The prompt is .*: give (a string|one with words)\.$"):
        given_text(value, "The prompt")
