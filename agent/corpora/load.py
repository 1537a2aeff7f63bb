"""Corpora by name: those that come with Basin, folders and files, books of public libraries, data sets of the hub.

Documents carry text, title and author only. Whatever else a record holds (labels, subjects, file names) stays
in `iter_records`, which is there for measuring.
"""

from __future__ import annotations

import difflib
import logging
import os
import random
import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError, field_validator

from agent.config import explain
from agent.corpora.book_sites import SITES, book_names, read_books
from agent.corpora.brown import ALL_CATEGORIES, FICTION, brown_files
from agent.corpora.folder import DOCUMENT_SUFFIXES, read_document, read_folder
from agent.corpora.hub_dataset import SCHEME, dataset_name, read_dataset
from agent.corpora.newsgroups import newsgroup_posts
from agent.corpora.tables import TABLE_SUFFIXES, Fields, Record, read_table
from agent.errors import BasinError, shortened
from agent.files.bounded import MOST_DOCUMENTS, MOST_TEXT
from agent.types import Document, StageConfig, document_id

logger = logging.getLogger(__name__)


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


LONGEST_TITLE = 500
ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _brown(categories: str) -> Iterator[tuple[Record, str]]:
    for file, text, title, author in brown_files(categories):
        yield {"category": file[1], "title": title, "author": author}, text


def _newsgroups() -> Iterator[tuple[Record, str]]:
    for group, text in newsgroup_posts():
        yield {"group": group, "title": " ".join(text.split()[:8])}, text


NAMED = {
    "brown-fiction": partial(_brown, FICTION),
    "brown": partial(_brown, ALL_CATEGORIES),
    "newsgroups": _newsgroups,
}
"""Corpora that come with Basin: name to a reader of their records."""


class CorpusConfig(StageConfig):
    """Which texts, and which fields of a record hold them."""

    source: str = "brown-fiction"
    """`brown-fiction`, `brown`, `newsgroups`; the path of a folder or file; `gutenberg:1661,2852`,
    `standard-ebooks:author/title`; `hf:owner/name`."""
    text_field: str = "text"
    title_field: str = "title"
    author_field: str = "author"
    limit: int | None = Field(default=None, ge=1)
    """Read only this many documents, from the start."""
    sample: int | None = Field(default=None, ge=2)
    """Hold only so many documents, each of the corpus with the same chance; then it may be of any size."""
    sample_seed: int = 0
    mirror: str | None = None
    """Address that books are asked for at, instead of the library's own choice."""
    subset: str | None = None
    """Of a data set that has several."""
    split: str = "train"
    """Of a data set."""

    @field_validator("source")
    @classmethod
    def _nameable(cls, source: str) -> str:
        if not source.strip() or "\0" in source:
            raise ValueError("name a corpus that comes with Basin, a folder or a file")
        if not os.path.exists(os.path.expanduser(source)):
            book_names(source), dataset_name(source)
        return source

    @property
    def fields(self) -> Fields:
        return Fields(self.text_field, self.title_field, self.author_field)

    @property
    def is_on_web(self) -> bool:
        """Whether it is asked for on the network each time, or the first time."""
        return self.source.partition(":")[0] in (*SITES, SCHEME.rstrip(":")) and not os.path.exists(self.path)

    @property
    def is_named(self) -> bool:
        """Whether the source is a name and no path."""
        return self.source in NAMED or self.is_on_web

    @field_validator("mirror")
    @classmethod
    def _address(cls, mirror: str | None) -> str | None:
        if mirror is not None and not ADDRESS.fullmatch(mirror):
            raise ValueError("give the mirror's address, such as https://gutenberg.pglaf.org")
        return mirror

    @property
    def path(self) -> Path:
        """The folder or file, `~` spelt out where that is somebody's home."""
        return Path(os.path.expanduser(self.source))


def named_corpus(source: str) -> CorpusConfig:
    """The corpus that somebody named, with everything else as it is by default; raises `BasinError` for no name of one."""
    try:
        return CorpusConfig(source=source)
    except ValidationError as error:
        raise BasinError(
            f"There is no such corpus: {explain(error, CorpusConfig).removeprefix('source: ')}"
        ) from None


def load_corpus(config: CorpusConfig, base: Path | None = None) -> list[Document]:
    """The corpus's documents in order, or the sample of them that the configuration asks for.

    A relative path is taken from `base`. Raises `BasinError` as `iter_records`.
    """
    documents = iter_documents(config, base)
    if config.sample is None:
        return list(documents)
    kept = drawn(documents, config.sample, config.sample_seed, config.source)
    logger.info(f"A sample of {len(kept.documents):,} of the {kept.passed:,} documents of {config.source}")
    return kept.documents


def iter_documents(config: CorpusConfig, base: Path | None = None) -> Iterator[Document]:
    """All documents in order, one at a time; raises as `iter_records`."""
    for record, text in iter_records(config, base, fields=()):
        title, author = _shown(record.get(config.title_field)), _shown(record.get(config.author_field))
        yield Document(document_id(text), text, title, author)


def _shown(value: Any) -> str:
    """A title or author as it is shown: on one line, without what a terminal would obey."""
    if value is None or value != value:  # NaN stands for a missing value in many tables
        return ""
    words = " ".join(str(value).split())[:LONGEST_TITLE]
    return CONTROLS.sub("", words)


def iter_records(
    config: CorpusConfig, base: Path | None = None, fields: Collection[str] | None = None
) -> Iterator[tuple[Record, str]]:
    """(everything known about a document, its text) in corpus order; `document_id(text)` is its id.

    A Brown record has `category`, a newsgroup post's has `group`, a folder's has `path`, a library's `book` and `address`;
    other records are as in the file. Of tables only text, title, author and `fields` are read, or everything where `fields` is
    None. Raises `BasinError` for a source that is missing, empty, damaged, not text, of an unknown kind or too large to be held
    (unless only a sample is), for an unknown field or a setting that the source would ignore, and for what a folder has in it
    that is not its own.
    """
    records = islice(_records(config, base, fields), config.limit)
    yield from records if config.sample else _within_limits(records, config)


def _records(
    config: CorpusConfig, base: Path | None, fields: Collection[str] | None
) -> Iterator[tuple[Record, str]]:
    path = (base or Path()) / config.path
    if config.source in NAMED:
        _refuse(config, *FIELDS, "mirror", "subset", "split")
        yield from NAMED[config.source]()
    elif os.path.exists(path):
        yield from _local(path, config, fields)
    elif (books := book_names(config.source)) is not None:
        _refuse(config, *FIELDS, "subset", "split")
        yield from read_books(*books, config.mirror)
    elif (name := dataset_name(config.source)) is not None:
        _refuse(config, "mirror")
        yield from read_dataset(name, config.subset, config.split, config.fields, fields)
    else:
        raise BasinError(f"There is no corpus {shortened(config.source, 200)!r}: {_meant(config.source)}")


def _local(path: Path, config: CorpusConfig, fields: Collection[str] | None) -> Iterator[tuple[Record, str]]:
    """Documents of a folder or file."""
    _refuse(config, "mirror", "subset", "split")
    rows = partial(read_table, fields=config.fields, others=fields)
    try:
        if os.path.isdir(path):
            for record, text in read_folder(path, TABLE_SUFFIXES, rows):
                if "path" in record and set(record) <= {"path", "title", "author"}:
                    _refuse(config, *FIELDS)
                yield record, text
        elif path.suffix.lower() in DOCUMENT_SUFFIXES:
            _refuse(config, *FIELDS)
            yield read_document(path, path.parent)
        else:
            yield from rows(path)
    except OSError as error:
        raise BasinError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions and its disk."
        ) from error


def _meant(source: str) -> str:
    """What to do about a source that is nothing."""
    key, colon, rest = source.partition(":")
    schemes = [*SITES, SCHEME.rstrip(":")]
    if colon and (near := difflib.get_close_matches(key[:40].lower(), schemes, n=1)):
        return f"did you mean {near[0]}:{shortened(rest, 100)}?"
    near = difflib.get_close_matches(source[:100], NAMED, n=1)
    return f"did you mean {near[0]!r}?" if near else "check the path, or use brown-fiction."


def _within_limits(
    records: Iterator[tuple[Record, str]], config: CorpusConfig
) -> Iterator[tuple[Record, str]]:
    """The same records, until there are more of them than is allowed."""
    characters = 0
    for count, (record, text) in enumerate(records, 1):
        characters += len(text)
        if count > MOST_DOCUMENTS or characters > MOST_TEXT:
            raise BasinError(
                f"{config.source} holds more than {MOST_DOCUMENTS:,} documents or {MOST_TEXT >> 30} GiB of text: "
                f"set corpus.sample to hold a sample of it, or corpus.limit to read the first {count - 1:,} at most."
            )
        yield record, text


FIELDS = ("text_field", "title_field", "author_field")


def _refuse(config: CorpusConfig, *names: str) -> None:
    """A setting that a source has no use for would be ignored without a word."""
    for name in names:
        if getattr(config, name) != CorpusConfig.model_fields[name].default:
            what = "no fields to choose from" if name in FIELDS else f"no use for {name}"
            raise BasinError(f"{config.source} has {what}: leave out {name}.")
