"""Plain text in UTF-8, and the boilerplate of Project Gutenberg."""

from __future__ import annotations

import pytest

from agent.corpora.text import decode, without_boilerplate
from agent.errors import BasinError


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
