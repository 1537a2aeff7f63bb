"""Topic words of a text: lower case, without stop words and names, by language.

Basin knows little of a language: its stop words, whether an apostrophe separates words, and whether
capitals mark names. For the rest the corpus decides: words in most of its chunks are function words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import regex
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from agent.errors import BasinError

ENGLISH = "en"
CODE = re.compile("[a-z]{2,3}")
"""A language in ISO 639."""
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
"""An English word."""
SENTENCE_START = re.compile(rf"(?:^|[.!?:;]|--|\n)[\s\"'“”‘’(\[]*({WORD.pattern})")

LETTERS = r"\p{L}[\p{L}\p{M}]*"
"""Letters of any script, with combining marks."""
ELIDING = frozenset(("fr", "it", "ca", "oc"))
"""Languages with an apostrophe between two words: l'homme, dell'arte."""
ALL_NOUNS_CAPITAL = frozenset(("de", "lb"))
"""Languages that capitalise every noun."""
DOTLESS = frozenset(("tr", "az"))
"""Languages in which I and İ are the capitals of ı and i."""
UNSPACED = frozenset(("zh", "ja", "th", "lo", "km", "my", "bo"))
"""Languages written without spaces between words."""
MOST_CACHED = 500_000
"""Words whose topic word is cached."""
SHORTEST = {"ko": 2}
"""Letters of the shortest topic word, where it is not 3."""


@dataclass(frozen=True)
class Language:
    """Word boundaries, stop words and capitals of one language."""

    code: str
    word: Any
    """Pattern of a word."""
    start: Any
    """Pattern of the first word of a sentence, as its only group."""
    stop_words: frozenset[str]
    shortest: int
    marks_names: bool
    """Whether capitals inside sentences mark names."""
    cache: dict[str, str | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_listed(self) -> bool:
        """Whether a list of stop words exists."""
        return bool(self.stop_words)

    def plain(self, word: str) -> str:
        """The word in lower case; in English without a possessive ending."""
        if self.code == ENGLISH:
            return word.lower().replace("’", "'").removesuffix("'s")
        if self.code in DOTLESS:
            word = word.replace("İ", "i").replace("I", "ı")
        return unicodedata.normalize("NFC", word).lower().replace("’", "'")

    def topic_word(self, word: str) -> str | None:
        """The plain word, or None for a stop word, a short word or an English contraction."""
        if word not in self.cache:
            if len(self.cache) > MOST_CACHED:
                self.cache.clear()
            plain = self.plain(word)
            left_out = len(plain) < self.shortest or plain in self.stop_words
            self.cache[word] = None if left_out or (self.code == ENGLISH and "'" in plain) else plain
        return self.cache[word]

    def spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, plain word) of a text's topic words; offsets in characters."""
        for match in self.word.finditer(text):
            if (word := self.topic_word(match.group())) is not None:
                yield match.start(), match.end(), word

    def words_of(self, text: str) -> list[str]:
        """The topic words of a text, in order."""
        return self._topic_words(self.word.findall(text))

    def chunks(self, text: str, chunk_words: int) -> list[list[str]]:
        """Topic words of equal pieces of about `chunk_words` running words."""
        running = self.word.findall(text)
        pieces = max(1, round(len(running) / chunk_words))
        bounds = [number * len(running) // pieces for number in range(pieces + 1)]
        return [self._topic_words(running[start:end]) for start, end in pairwise(bounds)]

    def _topic_words(self, running: list[str]) -> list[str]:
        return [word for each in running if (word := self.topic_word(each)) is not None]


@cache
def language(code: str) -> Language:
    """The language of an ISO 639 code, such as `de`.

    Raises `BasinError` if the language is written without spaces.
    """
    if code == ENGLISH:
        return Language(code, WORD, SENTENCE_START, ENGLISH_STOP_WORDS, 3, True)
    if code in UNSPACED:
        raise BasinError(
            f"Texts in the language {code!r} are written without spaces, so Basin cannot tell their words: put spaces between "
            "them with a segmenter of that language, and set topics.language to 'und'."
        )
    pattern = LETTERS if code in ELIDING else rf"{LETTERS}(?:['’ʼ]{LETTERS})*"
    start = regex.compile(rf"(?:^|[.!?…:;¡¿।؟]|--|[—–]|\n)[\s\p{{P}}]*({pattern})")
    stops = frozenset(unicodedata.normalize("NFC", word).lower() for word in _stop_words(code))
    return Language(
        code, regex.compile(pattern), start, stops, SHORTEST.get(code, 3), code not in ALL_NOUNS_CAPITAL
    )


def _stop_words(code: str) -> list[str]:
    """The stop-words library's list (Snowball and others), empty for other languages."""
    from stop_words import StopWordError, get_stop_words

    try:
        return list(get_stop_words(code))
    except StopWordError:
        return []


class CapitalCounts:
    """Counts of words, and of their capitalised forms, inside sentences."""

    def __init__(self, code: str) -> None:
        self.language = language(code)
        self.total: Counter[str] = Counter()
        self.capitalised: Counter[str] = Counter()

    def count(self, text: str) -> None:
        if not self.language.marks_names:
            return
        inside = Counter(match.group() for match in self.language.word.finditer(text))
        inside.subtract(self.language.start.findall(text))  # first words always have a capital
        for word, count in inside.items():
            key = self.language.plain(word)
            self.total[key] += count
            if word[0].isupper():
                self.capitalised[key] += count

    def names(self, share: float) -> set[str]:
        """Words with a capital in more than `share` of their occurrences inside sentences."""
        return {word for word, count in self.capitalised.items() if count > share * self.total[word]}

    def drop_rare(self, most: int) -> None:
        """Drop all but the `most` frequent words."""
        if len(self.total) > most:
            self.total = Counter(dict(self.total.most_common(most)))
            self.capitalised = Counter(
                {word: n for word, n in self.capitalised.items() if word in self.total}
            )


def words_of(text: str, code: str = ENGLISH) -> list[str]:
    """The topic words of a text, in order."""
    return language(code).words_of(text)


def name_like_words(texts: Iterable[str], share: float, code: str = ENGLISH) -> set[str]:
    """Words with a capital in more than `share` of their occurrences inside sentences."""
    capitals = CapitalCounts(code)
    for text in texts:
        capitals.count(text)
    return capitals.names(share)
