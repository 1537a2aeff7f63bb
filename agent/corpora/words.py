"""Topic words of a text: lower case, without stop words and names, by language.

Basin knows little of a language: its stop words, whether an apostrophe separates words, and whether
capitals mark names. For the rest the corpus decides: words in most of its chunks are function words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise
from typing import Any

import regex
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from agent.corpora.text import clean_text
from agent.errors import BasinError

ENGLISH = "en"
CODE = re.compile("[a-z]{2,3}")
"""A language in ISO 639."""
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
"""An English word."""
SENTENCE_START = re.compile(rf"(?:^|[.!?:;]|--|\n)[\s\"'“”‘’(\[]*({WORD.pattern})")

LETTERS = r"\p{L}[\p{L}\p{M}\u200c\u200d]*"
"""Letters of any script, with combining marks and the joiners that `clean_text` leaves."""
ELIDING = frozenset(("fr", "it", "ca", "oc"))
"""Languages with an apostrophe between two words: l'homme, dell'arte."""
ALL_NOUNS_CAPITAL = frozenset(("de", "lb"))
"""Languages that capitalise every noun."""
DOTLESS = frozenset(("tr", "az"))
"""Languages in which I and İ are the capitals of ı and i."""
UNSPACED = frozenset(("zh", "ja"))
"""Languages whose words are read as overlapping pairs of characters, as search engines do."""
BETWEEN_SPACES = frozenset(("th", "lo", "km", "my"))
"""Languages whose texts need a segmenter's spaces, or zero-width spaces, between words."""
EAST_ASIAN = r"[\p{Han}\p{Hiragana}\p{Katakana}ー]"
EAST_ASIAN_LETTER = regex.compile(EAST_ASIAN)
SOUTH_EAST_ASIAN = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]{2,}")
KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
LETTER = regex.compile(r"\p{L}")
UNSPACED_WORD = regex.compile(
    r"\p{Han}{2}|(?<![\p{Katakana}ー])[\p{Katakana}ー]{2,}+"
    rf"|(?<![[\p{{L}}\p{{M}}]--{EAST_ASIAN}])[[\p{{L}}\p{{M}}]--{EAST_ASIAN}]{{2,}}+",
    regex.V1,
)
"""Pairs of ideographs, words in katakana or other letters; hiragana spells endings and particles."""
RUNNING = re.compile(r"[^\s\u200b]+")
UNSPACED_RUNNING = regex.compile(
    rf"[\p{{Ps}}\p{{Pi}}]*(?:{EAST_ASIAN}{{1,2}}|[^\s{EAST_ASIAN[1:]}+)[[^\w\s]--[\p{{Ps}}\p{{Pi}}]]*",
    regex.V1,
)
"""Two characters count as a word, with the marks around them."""
PARTICLES = frozenset("的了吗呢吧是这那我你他她它们")
"""Characters of Chinese grammar; a pair with one of them is no topic word."""
MOST_LETTERS_SEGMENTED = 15
"""Mean letters between spaces, above which a text of `BETWEEN_SPACES` has none between its words."""
LINE_BREAK = re.compile(r"[^\s][^\S\n]*\n[^\S\n]*[^\s]")
SAMPLED = 20_000
"""Characters at the start of a text that show its script."""
MOST_CACHED = 500_000
"""Words whose topic word is cached."""
SHORTEST = dict.fromkeys(("ko", *UNSPACED, *BETWEEN_SPACES), 2)
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
            left_out = left_out or (self.code == "zh" and not PARTICLES.isdisjoint(plain))
            self.cache[word] = None if left_out or (self.code == ENGLISH and "'" in plain) else plain
        return self.cache[word]

    def as_read(self, word: str) -> list[str]:
        """A user's word as texts are read: in lower case, or its pairs of characters."""
        word = clean_text(word).strip()
        return (self._running(word) if self.code in UNSPACED else []) or [self.plain(word)]

    def _running(self, text: str) -> list[str]:
        if self.code in UNSPACED:
            found: list[str] = self.word.findall(text, overlapped=True)
            return found
        return list(self.word.findall(text))

    def spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, plain word) of a text's topic words, which may overlap; offsets in characters."""
        found = self.word.finditer(text, **({"overlapped": True} if self.code in UNSPACED else {}))
        for match in found:
            if (word := self.topic_word(match.group())) is not None:
                yield match.start(), match.end(), word

    def words_of(self, text: str) -> list[str]:
        """The topic words of a text, in order."""
        return self._topic_words(self._running(text))

    def chunks(self, text: str, chunk_words: int) -> list[list[str]]:
        """Topic words of equal pieces of about `chunk_words` running words."""
        running = self._running(text)
        pieces = max(1, round(len(running) / chunk_words))
        bounds = [number * len(running) // pieces for number in range(pieces + 1)]
        return [self._topic_words(running[start:end]) for start, end in pairwise(bounds)]

    def _topic_words(self, running: list[str]) -> list[str]:
        return [word for each in running if (word := self.topic_word(each)) is not None]


@cache
def language(code: str) -> Language:
    """The language of an ISO 639 code, such as `de`."""
    if code == ENGLISH:
        return Language(code, WORD, SENTENCE_START, ENGLISH_STOP_WORDS, 3, True)
    stops = frozenset(unicodedata.normalize("NFC", word).lower() for word in _stop_words(code))
    if code in UNSPACED:
        return Language(code, UNSPACED_WORD, regex.compile("$^()"), stops, SHORTEST[code], False)
    pattern = LETTERS if code in ELIDING else rf"{LETTERS}(?:['’ʼ]{LETTERS})*"
    start = regex.compile(rf"(?:^|[.!?…:;¡¿।؟]|--|[—–]|\n)[\s\p{{P}}]*({pattern})")
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


def is_unspaced(text: str) -> bool:
    """Whether most letters of a text are Chinese or Japanese."""
    if text.isascii():
        return False
    begin = text[:SAMPLED]
    found = len(EAST_ASIAN_LETTER.findall(begin))
    return found > 0 and 2 * found > len(LETTER.findall(begin))


def unspaced_language(texts: Sequence[str]) -> str | None:
    """zh or ja if most texts are written in it, told apart by kana; else None."""
    found = [text for text in texts if is_unspaced(text)]
    if 2 * len(found) <= len(texts):
        return None
    kana = sum(bool(KANA.search(text[:SAMPLED])) for text in found)
    return "ja" if 2 * kana > len(found) else "zh"


def running_words(text: str) -> Iterator[Any]:
    """Matches of a text's words with their marks: between spaces, or two Chinese or Japanese characters."""
    return (UNSPACED_RUNNING if is_unspaced(text) else RUNNING).finditer(text)


def count_words(text: str) -> int:
    """How many `running_words` a text has."""
    return sum(1 for _ in running_words(text))


def first_words(text: str, count: int) -> str:
    """The first words of a text, with single spaces."""
    if not is_unspaced(text) and "\u200b" not in text:
        return " ".join(text.split()[:count])
    return " ".join(_begin(text, count).split())


def opening(text: str, count: int) -> str:
    """The first words of a text as a prompt: line breaks, as of verse and code, stay; blank lines do not."""
    begin = _begin(text, count)
    return begin if LINE_BREAK.search(begin) else first_words(text, count)


def _begin(text: str, count: int) -> str:
    """A text up to the end of its first words."""
    ends = [match.end() for match in islice(running_words(text), count)]
    return text[: ends[-1] if ends else 0]


def refuse_other_script(texts: Sequence[str], code: str) -> None:
    """Raise `BasinError` if most texts are in a script whose words the language does not tell apart."""
    if code not in UNSPACED and (found := unspaced_language(texts)):
        raise BasinError(
            f"The texts are Chinese or Japanese, written without spaces, and topics.language is {code!r}: set it to {found}."
        )


def refuse_unsegmented(texts: Sequence[str]) -> None:
    """Raise `BasinError` if most texts are in a script of `BETWEEN_SPACES`, without spaces between words."""
    if 2 * sum(map(_is_unsegmented, texts)) > len(texts):
        raise BasinError(
            "The texts have no spaces between words, as Thai, Lao, Khmer and Burmese are written: put spaces or zero-width "
            "spaces between them with a segmenter, such as PyThaiNLP, and set topics.language (th, lo, km or my)."
        )


def _is_unsegmented(text: str) -> bool:
    if text.isascii():
        return False
    runs = SOUTH_EAST_ASIAN.findall(text[:SAMPLED])
    letters = sum(map(len, runs))
    return 2 * letters > len(LETTER.findall(text[:SAMPLED])) and letters > MOST_LETTERS_SEGMENTED * len(runs)


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
        capitals = sum(count for word, count in inside.items() if word[0].isupper())
        if 2 * capitals > sum(inside.values()):  # a text in capitals, or in those of a title
            return
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
