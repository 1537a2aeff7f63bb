"""A sample of a stream of unknown length, every document with the same chance, holding no more than the sample."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from agent.errors import BasinError
from agent.sources.bounded import MOST_TEXT
from agent.types import Document


class Sample(NamedTuple):
    """What was kept, in the order of the stream, and how much passed by."""

    documents: list[Document]
    passed: int


def drawn(stream: Iterable[Document], count: int, seed: int, source: str) -> Sample:
    """`count` documents of the stream, or all of it (Vitter 1985, algorithm R); the same for the same stream and seed.

    Raises `BasinError` where the sample alone is more text than may be held.
    """
    chance = random.Random(f"reservoir/{seed}")
    kept: list[tuple[int, Document]] = []
    characters = at = 0
    for at, document in enumerate(stream, 1):
        place = len(kept) if len(kept) < count else chance.randrange(at)
        if place >= count:
            continue
        characters += len(document.text)
        if place == len(kept):
            kept.append((at, document))
        else:
            characters -= len(kept[place][1].text)
            kept[place] = (at, document)
        if characters > MOST_TEXT:
            raise BasinError(
                f"{count:,} documents of {source} are more than {MOST_TEXT >> 30} GiB of text: lower corpus.sample."
            )
    return Sample([document for _, document in sorted(kept, key=lambda each: each[0])], at)
