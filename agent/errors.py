"""The one exception a user is meant to see, and how it quotes others."""

from __future__ import annotations

import reprlib
import unicodedata
from typing import Any

LONGEST_SENTENCE = 400
"""Characters; a longer sentence loses its middle, since the thing is named first and the remedy last."""


class BasinError(Exception):
    """A user's mistake or a missing resource, told in one sentence that names the thing and the remedy.

    The command line prints the sentence and exits with status 1; it never shows a traceback for it. Names and values
    in it may come from anywhere, so what a terminal would obey or cannot print is spelt out.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(escaped(sentence), LONGEST_SENTENCE))

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show of it: the sentence, no traceback either."""
        return [f"{type(self).__name__}: {self}"]


def first_sentence(error: Exception) -> str:
    """The first sentence of an error's message, at most 160 characters, for quoting inside a `BasinError`."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.split(". ")[0].rstrip(".:")[:160]


def escaped(text: str) -> str:
    """The text with line ends, terminal codes and half characters spelt out as in a Python string."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def shortened(text: str, longest: int) -> str:
    """The text with its middle left out where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def quoted(value: Any) -> str:
    """A value as Python writes it, in at most some 80 characters however large it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 60
    short.maxlevel, short.maxdict, short.maxlist, short.maxtuple = 2, 3, 3, 3
    try:
        return shortened(short.repr(value), 80)
    except ValueError:  # an integer of more digits than Python writes out
        return f"a huge {type(value).__name__}"


def printable(text: str) -> str:
    """Text of a corpus or a model without what would steer a terminal: control and direction marks become spaces."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cf", "Cs") else letter for letter in text)
