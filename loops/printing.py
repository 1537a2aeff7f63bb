"""Text of a corpus, a model or a stored run, as a terminal may be shown it."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Text of a corpus or a model without what would steer a terminal: control and direction marks become spaces."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cf", "Cs") else letter for letter in text)
