"""Real passages made unreadable in known ways, for a judge of readability to learn from.

How badly is drawn for every passage anew, from hardly to thoroughly, so that the judge has no easy task. All work
on the words of one document, but for the replacements, so that a spoiled passage is about what it was about.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Words = list[str]
Spoil = Callable[[Words, int, Words, np.random.Generator], Words]
"""From the document's words from the passage on, the length wanted, words of the corpus, and a generator."""


def shuffled(words: Words, length: int, _corpus: Words, rng: np.random.Generator) -> Words:
    """Words in random order inside windows of 3 to 12."""
    window = int(rng.integers(3, 13))
    spoiled: Words = []
    for start in range(0, length, window):
        part = words[start : min(start + window, length)]
        spoiled += [part[index] for index in rng.permutation(len(part))]
    return spoiled


def truncated(words: Words, length: int, _corpus: Words, rng: np.random.Generator) -> Words:
    """Every sentence breaks off after 30 to 80 % of its words, and the next one follows."""
    spoiled: Words = []
    for sentence in _sentences(words):
        kept = max(1, round(len(sentence) * rng.uniform(0.3, 0.8)))
        spoiled += sentence[:kept]
        if len(spoiled) >= length:
            break
    return spoiled[:length]


def replaced(words: Words, length: int, corpus: Words, rng: np.random.Generator) -> Words:
    """A tenth to a half of the words are others of the corpus, drawn as often as they occur there."""
    chance = rng.uniform(0.1, 0.5)
    swap, other = rng.random(length) < chance, rng.integers(len(corpus), size=length)
    return [
        corpus[number] if flag else word
        for word, flag, number in zip(words[:length], swap[: len(words)], other[: len(words)], strict=True)
    ]


def repeated(words: Words, length: int, _corpus: Words, rng: np.random.Generator) -> Words:
    """From somewhere in its first two thirds on, the last 3 to 20 words over and over, as a stuck model writes."""
    loop = int(rng.integers(3, 21))
    start = int(rng.integers(min(loop, length - 1), max(loop, 2 * length // 3) + 1))
    spoiled = words[:start]
    while len(spoiled) < length:
        spoiled = spoiled + words[max(0, start - loop) : start]
    return spoiled[:length]


SPOILS: dict[str, Spoil] = {
    "shuffled": shuffled,
    "truncated": truncated,
    "replaced": replaced,
    "repeated": repeated,
}


def _sentences(words: Words) -> list[Words]:
    """Runs of words up to one that ends in a full stop, a question mark or an exclamation mark."""
    sentences: list[Words] = [[]]
    for word in words:
        sentences[-1].append(word)
        if word.rstrip("\"'”’)").endswith((".", "?", "!")):
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def spoil(
    words: Words, length: int, corpus: Words, turn: int, rng: np.random.Generator
) -> tuple[str, str] | None:
    """(kind, text of `length` words) by the spoil whose turn it is, or the next that has words enough; else None."""
    kinds = list(SPOILS)
    for offset in range(len(kinds)):
        kind = kinds[(turn + offset) % len(kinds)]
        spoiled = SPOILS[kind](words, length, corpus, rng)
        if len(spoiled) == length and spoiled != words[:length]:
            return kind, " ".join(spoiled)
    return None
