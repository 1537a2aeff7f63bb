"""Words of a text as topics are made of them, in the language that the texts are in.

What is known of a language is little: which words only hold sentences together, whether an apostrophe parts words, and whether
capitals tell names. What is not known is left to the corpus: words that most of its parts hold are function words.
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
"""Of a language, in ISO 639."""
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
"""An English word."""
SENTENCE_START = re.compile(rf"(?:^|[.!?:;]|--|\n)[\s\"'“”‘’(\[]*({WORD.pattern})")

LETTERS = r"\p{L}[\p{L}\p{M}]*"
"""Of any script, with the marks that stand on letters or vowels."""
ELIDING = frozenset(("fr", "it", "ca", "oc"))
"""Where an apostrophe stands between two words: l'homme, dell'arte."""
ALL_NOUNS_CAPITAL = frozenset(("de", "lb"))
"""Where a capital does not tell a name from another noun."""
DOTLESS = frozenset(("tr", "az"))
"""Where I and İ are capitals of ı and i."""
UNSPACED = frozenset(("zh", "ja", "th", "lo", "km", "my", "bo"))
"""Written without spaces between words."""
MOST_KNOWN = 500_000
"""Words whose plain form is remembered."""
SHORTEST = {"ko": 2}
"""Letters of the shortest word that topics are made of, where it is not 3."""


@dataclass(frozen=True)
class Language:
    """What is known of one."""

    code: str
    word: Any
    """Pattern of a word."""
    start: Any
    """Pattern of the first word of a sentence, as its only group."""
    stop_words: frozenset[str]
    shortest: int
    tells_names: bool
    """Whether capitals inside of sentences tell names."""
    known: dict[str, str | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_listed(self) -> bool:
        """Whether there is a list of its stop words."""
        return bool(self.stop_words)

    def plain(self, word: str) -> str:
        """The word in small letters; in English without a possessive ending."""
        if self.code == ENGLISH:
            return word.lower().replace("’", "'").removesuffix("'s")
        if self.code in DOTLESS:
            word = word.replace("İ", "i").replace("I", "ı")
        return unicodedata.normalize("NFC", word).lower().replace("’", "'")

    def topic_word(self, word: str) -> str | None:
        """The plain word, None for one that topics are not made of; a corpus has far fewer words than there are running."""
        if word not in self.known:
            if len(self.known) > MOST_KNOWN:
                self.known.clear()
            plain = self.plain(word)
            left_out = len(plain) < self.shortest or plain in self.stop_words
            self.known[word] = None if left_out or (self.code == ENGLISH and "'" in plain) else plain
        return self.known[word]

    def spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(first character, end, plain word) of the words of a text that topics are made of."""
        for match in self.word.finditer(text):
            if (word := self.topic_word(match.group())) is not None:
                yield match.start(), match.end(), word

    def words_of(self, text: str) -> list[str]:
        """Those words, in order."""
        return self._topic_words(self.word.findall(text))

    def chunks(self, text: str, chunk_words: int) -> list[list[str]]:
        """Equal pieces of at most about `chunk_words` running words, already reduced to topic words."""
        running = self.word.findall(text)
        pieces = max(1, round(len(running) / chunk_words))
        bounds = [number * len(running) // pieces for number in range(pieces + 1)]
        return [self._topic_words(running[start:end]) for start, end in pairwise(bounds)]

    def _topic_words(self, running: list[str]) -> list[str]:
        return [word for each in running if (word := self.topic_word(each)) is not None]


@cache
def language(code: str) -> Language:
    """What is known of a language, by its code (ISO 639, as `de`).

    Raises `BasinError` for one whose words cannot be told apart.
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
    stops = frozenset(unicodedata.normalize("NFC", word).lower() for word in _listed(code))
    return Language(
        code, regex.compile(pattern), start, stops, SHORTEST.get(code, 3), code not in ALL_NOUNS_CAPITAL
    )


def _listed(code: str) -> list[str]:
    """The stop-words library's list (Snowball's and others'), empty where it has none."""
    from stop_words import StopWordError, get_stop_words

    try:
        return get_stop_words(code)
    except StopWordError:
        return []


class Capitals:
    """How often words are capitalised where only names are: inside of sentences. Counts of texts that pass by."""

    def __init__(self, code: str) -> None:
        self.language = language(code)
        self.total: Counter[str] = Counter()
        self.capitalised: Counter[str] = Counter()

    def count(self, text: str) -> None:
        if not self.language.tells_names:
            return
        inside = Counter(match.group() for match in self.language.word.finditer(text))
        inside.subtract(self.language.start.findall(text))  # where every word has a capital
        for word, count in inside.items():
            key = self.language.plain(word)
            self.total[key] += count
            if word[0].isupper():
                self.capitalised[key] += count

    def names(self, share: float) -> set[str]:
        """Words that are capitalised in more than `share` of their occurrences inside sentences."""
        return {word for word, count in self.capitalised.items() if count > share * self.total[word]}

    def forget_rare(self, most: int) -> None:
        """Keep the `most` frequent words only: what is rare will not be a topic's word."""
        if len(self.total) > most:
            self.total = Counter(dict(self.total.most_common(most)))
            self.capitalised = Counter(
                {word: n for word, n in self.capitalised.items() if word in self.total}
            )


def words_of(text: str, code: str = ENGLISH) -> list[str]:
    """Small-lettered words of three letters and more that are not stop words, possessive endings removed."""
    return language(code).words_of(text)


def name_like_words(texts: Iterable[str], share: float, code: str = ENGLISH) -> set[str]:
    """Words capitalised in more than `share` of their occurrences inside sentences; none where capitals do not tell."""
    capitals = Capitals(code)
    for text in texts:
        capitals.count(text)
    return capitals.names(share)
