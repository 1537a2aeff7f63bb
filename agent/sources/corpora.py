"""Corpora by name: the Brown corpus, 20 Newsgroups, a folder of text files, or a JSONL or Parquet file with a text field.

Documents carry text, title and author only. Whatever else a record holds (labels, subjects, file names) stays
in `iter_records`, which is there for measuring.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from agent.errors import BasinError, quoted, shortened
from agent.sources.bounded import MOST_DOCUMENTS, MOST_TEXT, PACKINGS
from agent.sources.brown import ALL_CATEGORIES, FICTION, brown_files
from agent.sources.newsgroups import newsgroup_posts
from agent.sources.packages import Progress
from agent.sources.parquet_rows import read_parquet
from agent.sources.records import Record, read_jsonl
from agent.sources.text_files import TEXT_SUFFIXES, read_folder, read_text_file
from agent.types import Document, StageConfig, document_id

JSONL, PARQUET = (".jsonl", ".ndjson"), ".parquet"
LONGEST_TITLE = 500
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _brown(categories: str, progress: Progress | None) -> Iterator[tuple[Record, str]]:
    for file, text, title, author in brown_files(categories, progress):
        yield {"category": file[1], "title": title, "author": author}, text


def _newsgroups(progress: Progress | None) -> Iterator[tuple[Record, str]]:
    for group, text in newsgroup_posts(progress):
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
    """`brown-fiction`, `brown`, `newsgroups`, or the path of a folder or file."""
    text_field: str = "text"
    title_field: str = "title"
    author_field: str = "author"
    limit: int | None = Field(default=None, ge=1)
    """Read only this many documents, from the start."""

    @field_validator("source")
    @classmethod
    def _nameable(cls, source: str) -> str:
        if not source.strip() or "\0" in source:
            raise ValueError("name a corpus that comes with Basin, a folder or a file")
        return source

    @property
    def path(self) -> Path:
        """The folder or file, `~` spelt out where that is somebody's home."""
        return Path(os.path.expanduser(self.source))


def load_corpus(
    config: CorpusConfig, base: Path | None = None, progress: Progress | None = None
) -> list[Document]:
    """The corpus's documents in order; a relative path is taken from `base`.

    Raises `BasinError` as `iter_records`.
    """
    return [
        Document(
            id=document_id(text),
            text=text,
            title=_shown(record.get(config.title_field)),
            author=_shown(record.get(config.author_field)),
        )
        for record, text in iter_records(config, base, progress, fields=())
    ]


def _shown(value: Any) -> str:
    """A title or author as it is shown: on one line, without what a terminal would obey."""
    if value is None or value != value:  # NaN stands for a missing value in many tables
        return ""
    words = " ".join(str(value).split())[:LONGEST_TITLE]
    return CONTROLS.sub("", words)


def iter_records(
    config: CorpusConfig,
    base: Path | None = None,
    progress: Progress | None = None,
    fields: Collection[str] | None = None,
) -> Iterator[tuple[Record, str]]:
    """(everything known about a document, its text) in corpus order; `document_id(text)` is its id.

    A Brown record has `category`, a newsgroup post's has `group`, a folder's has `path`; other records are as in the
    file. Of a Parquet file only text, title, author and `fields` are read, or everything where `fields` is None.
    Raises `BasinError` for a source that is missing, empty, damaged, not text, of an unknown kind or too large, for an
    unknown field, and for what a folder has in it that is not its own.
    """
    records = islice(_records(config, base, progress, fields), config.limit)
    yield from _within_limits(records, config)


def _records(
    config: CorpusConfig, base: Path | None, progress: Progress | None, fields: Collection[str] | None
) -> Iterator[tuple[Record, str]]:
    if config.source in NAMED:
        _refuse_fields(config)
        yield from NAMED[config.source](progress)
        return
    path = (base or Path()) / config.path
    try:
        if os.path.isdir(path):
            _refuse_fields(config)
            yield from read_folder(path)
        elif path.suffix.lower() in TEXT_SUFFIXES and os.path.exists(path):
            _refuse_fields(config)
            yield read_text_file(path, path.parent)
        else:
            yield from _rows(path, config, fields)
    except OSError as error:
        raise BasinError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions and its disk."
        ) from error


def _rows(path: Path, config: CorpusConfig, fields: Collection[str] | None) -> Iterator[tuple[Record, str]]:
    """Records of a JSONL or Parquet file, with their text."""
    if not os.path.exists(path):
        near = difflib.get_close_matches(config.source[:100], NAMED, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "check the path, or use brown-fiction."
        raise BasinError(f"There is no corpus {shortened(config.source, 200)!r}: {remedy}")
    *_, kind, packing = ("", "", *(suffix.lower() for suffix in path.suffixes))
    if packing not in PACKINGS:
        kind, packing = packing, ""
    if kind not in (*JSONL, PARQUET) or (packing and kind == PARQUET):
        raise BasinError(
            f"{path} is no corpus that Basin can read: give a folder of .txt or .md files, a .jsonl file "
            "(plain, .gz, .xz, .zst or .bz2) or a .parquet file."
        )
    shown = (config.text_field, config.title_field, config.author_field)
    columns = None if fields is None else {*shown, *fields}
    empty = True
    for where, record in read_parquet(path, columns) if kind == PARQUET else read_jsonl(path, packing):
        if empty:
            _check_fields(config, record, path)
        empty = False
        text = record.get(config.text_field)
        if not isinstance(text, str):
            raise BasinError(
                f"{path}, {where} has no text in {config.text_field!r}: mend or remove that record."
            )
        for field in shown:
            _require_characters(record.get(field), field, f"{path}, {where}")
        yield record, text
    if empty:
        raise BasinError(f"{path} holds no records: name a file that does.")


def _require_characters(value: Any, field: str, where: str) -> None:
    """Refuse what is no text although it is a string: NUL, and halves of characters that no file can hold."""
    if not isinstance(value, str):
        return
    if "\0" in value:
        raise BasinError(f"{where} has a NUL in {field!r}, so it is not text: mend or remove that record.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BasinError(
            f"{where} has half of a character (a lone surrogate) in {field!r}: mend or remove that record."
        ) from None


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
                f"set corpus.limit to read the first {count - 1:,} at most."
            )
        yield record, text


def _refuse_fields(config: CorpusConfig) -> None:
    """Fields belong to records; for other sources a field that was set would be ignored without a word."""
    for name in ("text_field", "title_field", "author_field"):
        if getattr(config, name) != CorpusConfig.model_fields[name].default:
            raise BasinError(f"{config.source} has no fields to choose from: leave out {name}.")


def _check_fields(config: CorpusConfig, record: Record, path: Path) -> None:
    """Refuse an unknown text field, and a title or author field that somebody asked for and is not there."""
    for name in ("text_field", "title_field", "author_field"):
        field, default = getattr(config, name), CorpusConfig.model_fields[name].default
        if field not in record and (name == "text_field" or field != default):
            known = shortened(", ".join(map(str, islice(record, 50))) or "none", 150)
            raise BasinError(
                f"{path} has no field {quoted(field)}: set {name} to one of its fields ({known})."
            )
