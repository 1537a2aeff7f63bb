"""Corpora by name: those that come with Basin, folders and files, data sets of the hub.

Documents carry text, title and author only. Other fields of a record (labels, subjects, file names)
stay in `iter_records`, which is for measuring.
"""

from __future__ import annotations

import difflib
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from agent.config import PathSetting, StageConfig, explain
from agent.corpora.brown import ALL_CATEGORIES, FICTION, brown_files
from agent.corpora.folder import DOCUMENT_SUFFIXES, read_document, read_folder
from agent.corpora.hub_dataset import SCHEME, dataset_name, read_dataset
from agent.corpora.newsgroups import newsgroup_posts
from agent.corpora.tables import TABLE_SUFFIXES, Fields, Record, one_line, read_table
from agent.corpora.text import clean_text, cleaning_note
from agent.errors import BasinError, reading, shortened
from agent.files.bounded import MOST_DOCUMENTS, MOST_TEXT
from agent.types import Document, document_id

logger = logging.getLogger(__name__)

FIELDS = ("text_field", "title_field", "author_field")


def _brown(categories: str) -> Iterator[tuple[Record, str]]:
    for file, text, title, author in brown_files(categories):
        yield {"category": file[1], "title": title, "author": author}, text


def _newsgroups() -> Iterator[tuple[Record, str]]:
    for group, text in newsgroup_posts():
        yield {"group": group, "title": " ".join(text.split()[:8])}, text


NAMED: dict[str, Callable[[], Iterator[tuple[Record, str]]]] = {
    "brown-fiction": partial(_brown, FICTION),
    "brown": partial(_brown, ALL_CATEGORIES),
    "newsgroups": _newsgroups,
}
"""Corpora that come with Basin: name to a reader of their records."""


class CorpusConfig(StageConfig):
    """Which texts to read, and which fields of a record hold them."""

    source: Annotated[str, PathSetting(tuple(NAMED), prefix=SCHEME)] = "brown-fiction"
    """`brown-fiction`, `brown`, `newsgroups`; the path of a folder or file; `hf:owner/name`."""
    text_field: str = "text"
    title_field: str = "title"
    author_field: str = "author"
    limit: int | None = Field(default=None, ge=1)
    """Read only this many documents, from the start."""
    sample: int | None = Field(default=None, ge=2)
    """Hold a uniform random sample of this many documents; the corpus may then be of any size."""
    sample_seed: int = 0
    subset: str | None = None
    """Subset (configuration) of a data set that has several."""
    split: str = "train"
    """Split of a data set."""

    @field_validator("source")
    @classmethod
    def _nameable(cls, source: str) -> str:
        if not source.strip() or "\0" in source:
            raise ValueError("name a corpus that comes with Basin, a folder or a file")
        if not os.path.exists(os.path.expanduser(source)):
            dataset_name(source)
        return source

    @property
    def fields(self) -> Fields:
        return Fields(self.text_field, self.title_field, self.author_field)

    @property
    def is_on_web(self) -> bool:
        """Whether the source is read over the network."""
        return self.source.startswith(SCHEME) and not os.path.exists(self.path)

    @property
    def is_named(self) -> bool:
        """Whether the source is a name and not a path."""
        return self.source in NAMED or self.is_on_web

    @property
    def path(self) -> Path:
        """The folder or file, with `~` expanded."""
        return Path(os.path.expanduser(self.source))


def named_corpus(source: str) -> CorpusConfig:
    """The corpus of a name or path, with default settings; raises `BasinError` for an invalid name."""
    try:
        return CorpusConfig(source=source)
    except ValidationError as error:
        raise BasinError(
            f"There is no such corpus: {explain(error, CorpusConfig).removeprefix('source: ')}"
        ) from None


def load_corpus(config: CorpusConfig, base: Path | None = None) -> list[Document]:
    """The corpus's documents in order, or the configured sample of them.

    Args:
        base: the folder that relative paths start from.

    Raises:
        BasinError: as `iter_records`; or the sample is too large to hold.
    """
    cleaned: Counter[str] = Counter()
    documents = iter_documents(config, base, cleaned)
    if config.sample is None:
        found = list(documents)
        read = len(found)
    else:
        found, read = draw_sample(documents, config.sample, config.sample_seed, config.source)
        logger.info(f"A sample of {len(found):,} of the {read:,} documents of {config.source}")
    if note := cleaning_note(cleaned, read):
        logger.info(note)
    return found


def iter_documents(
    config: CorpusConfig, base: Path | None = None, cleaned: Counter[str] | None = None
) -> Iterator[Document]:
    """All documents in order, one at a time; `cleaned` and errors as in `iter_records`."""
    for record, text in iter_records(config, base, (), cleaned):
        title, author = record.get(config.title_field), record.get(config.author_field)
        yield Document(document_id(text), text, one_line(title), one_line(author))


def draw_sample(stream: Iterable[Document], count: int, seed: int, source: str) -> tuple[list[Document], int]:
    """(`count` documents of a stream in its order, length of the stream); Vitter 1985, algorithm R.

    Raises `BasinError` if the sample alone exceeds the limit on text.
    """
    generator = random.Random(f"reservoir/{seed}")
    drawn: list[tuple[int, Document]] = []
    characters = at = 0
    for at, document in enumerate(stream, 1):
        place = len(drawn) if len(drawn) < count else generator.randrange(at)
        if place >= count:
            continue
        characters += len(document.text)
        if place == len(drawn):
            drawn.append((at, document))
        else:
            characters -= len(drawn[place][1].text)
            drawn[place] = (at, document)
        if characters > MOST_TEXT:
            raise BasinError(
                f"{count:,} documents of {source} are more than {MOST_TEXT >> 30} GiB of text: lower corpus.sample."
            )
    return [document for _, document in sorted(drawn, key=lambda each: each[0])], at


def iter_records(
    config: CorpusConfig,
    base: Path | None = None,
    fields: Collection[str] | None = None,
    cleaned: Counter[str] | None = None,
) -> Iterator[tuple[Record, str]]:
    """(record, cleaned text) of every document in corpus order; `document_id(text)` is its id.

    A Brown record has `category`, a newsgroup post `group`, a text file `path`; other records are as
    in their file.

    Args:
        base: the folder that relative paths start from.
        fields: read only these columns of tables besides text, title and author; None reads all.
        cleaned: counts the documents that `clean_text` changed, by kind.

    Raises:
        BasinError: the source is missing, empty, damaged, of an unknown kind, or too large to hold
            without `sample`; a field is unknown; or a setting has no meaning for the source.
    """
    found = islice(_records(config, base, fields), config.limit)
    records = ((record, clean_text(text, cleaned)) for record, text in found)
    yield from records if config.sample else _within_limits(records, config)


def _records(
    config: CorpusConfig, base: Path | None, fields: Collection[str] | None
) -> Iterator[tuple[Record, str]]:
    path = (base or Path()) / config.path
    if config.source in NAMED:
        _require_default(config, *FIELDS, "subset", "split")
        yield from NAMED[config.source]()
    elif os.path.exists(path):
        _require_default(config, "subset", "split")
        with reading(path, "check its permissions and its disk"):
            yield from _local(path, config, fields)
    elif (name := dataset_name(config.source)) is not None:
        yield from read_dataset(name, config.subset, config.split, config.fields, fields)
    else:
        raise BasinError(f"There is no corpus {shortened(config.source, 200)!r}: {_hint(config.source)}")


def _local(path: Path, config: CorpusConfig, fields: Collection[str] | None) -> Iterator[tuple[Record, str]]:
    rows = partial(read_table, fields=config.fields, others=fields)
    if os.path.isdir(path):
        for record, text in read_folder(path, TABLE_SUFFIXES, rows):
            if "path" in record and set(record) <= {"path", "title", "author"}:
                _require_default(config, *FIELDS)
            yield record, text
    elif path.suffix.lower() in DOCUMENT_SUFFIXES:
        _require_default(config, *FIELDS)
        yield read_document(path, path.parent)
    else:
        yield from rows(path)


def _hint(source: str) -> str:
    """The remedy for a source that does not exist."""
    scheme, colon, rest = source.partition(":")
    if colon and difflib.get_close_matches(scheme[:40].lower(), [SCHEME.rstrip(":")], n=1):
        return f"did you mean {SCHEME}{shortened(rest, 100)}?"
    near = difflib.get_close_matches(source[:100], NAMED, n=1)
    return f"did you mean {near[0]!r}?" if near else "check the path, or use brown-fiction."


def _within_limits(
    records: Iterator[tuple[Record, str]], config: CorpusConfig
) -> Iterator[tuple[Record, str]]:
    characters = 0
    for count, (record, text) in enumerate(records, 1):
        characters += len(text)
        if count > MOST_DOCUMENTS or characters > MOST_TEXT:
            raise BasinError(
                f"{config.source} holds more than {MOST_DOCUMENTS:,} documents or {MOST_TEXT >> 30} GiB of text: "
                f"set corpus.sample to hold a sample of it, or corpus.limit to read the first {count - 1:,} at most."
            )
        yield record, text


def _require_default(config: CorpusConfig, *names: str) -> None:
    """Refuse settings that the source would silently ignore."""
    for name in names:
        if getattr(config, name) != CorpusConfig.model_fields[name].default:
            what = "no fields to choose from" if name in FIELDS else f"no use for {name}"
            raise BasinError(f"{config.source} has {what}: leave out {name}.")
