"""Corpora by name: the Brown corpus, 20 Newsgroups, a folder of text files, or a JSONL or Parquet file with a text field.

Documents carry text, title and author only. Whatever else a record holds (labels, subjects, file names) stays
in `iter_records`, which is there for measuring.
"""

from __future__ import annotations

import bz2
import difflib
import gzip
import io
import json
import lzma
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from agent.errors import BasinError
from agent.sources.brown import ALL_CATEGORIES, FICTION, brown_files
from agent.sources.newsgroups import newsgroup_posts
from agent.sources.packages import Progress
from agent.types import Document, StageConfig, document_id

TEXT_SUFFIXES = (".txt", ".md")
OPENERS = {
    "": lambda path: path.open("rb"),
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
    # Unlike the zstandard package's reader, Arrow's says when a stream ends before its last frame does.
    ".zst": lambda path: io.BufferedReader(pa.input_stream(str(path), compression="zstd")),
}

Record = dict[str, Any]


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
            title=str(record.get(config.title_field) or ""),
            author=str(record.get(config.author_field) or ""),
        )
        for record, text in iter_records(config, base, progress)
    ]


def iter_records(
    config: CorpusConfig, base: Path | None = None, progress: Progress | None = None
) -> Iterator[tuple[Record, str]]:
    """(everything known about a document, its text) in corpus order; `document_id(text)` is its id.

    A Brown record has `category`, a newsgroup post's has `group`, a folder's has `path`; other records are as in the
    file. Raises `BasinError` for a source that is missing, empty, damaged, not text or of an unknown kind, and for an
    unknown field.
    """
    yield from islice(_records(config, base, progress), config.limit)


def _records(
    config: CorpusConfig, base: Path | None, progress: Progress | None
) -> Iterator[tuple[Record, str]]:
    if config.source in NAMED:
        _refuse_fields(config)
        yield from NAMED[config.source](progress)
        return
    path = (base or Path()) / Path(config.source).expanduser()
    try:
        if path.is_dir():
            _refuse_fields(config)
            yield from _folder(path)
        elif path.suffix.lower() in TEXT_SUFFIXES and path.is_file():
            _refuse_fields(config)
            yield _text_file(path, path.parent)
        else:
            yield from _rows(path, config)
    except OSError as error:
        raise BasinError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions and its disk."
        ) from error


def _rows(path: Path, config: CorpusConfig) -> Iterator[tuple[Record, str]]:
    """Records of a JSONL or Parquet file, with their text."""
    if not path.exists():
        near = difflib.get_close_matches(config.source, NAMED, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "check the path, or use brown-fiction."
        raise BasinError(f"There is no corpus {config.source!r}: {remedy}")
    *_, kind, packing = ("", "", *path.suffixes)
    if packing not in OPENERS:
        kind, packing = packing, ""
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    if kind not in readers or (packing and kind == ".parquet"):
        raise BasinError(
            f"{path} is no corpus that Basin can read: give a folder of .txt or .md files, a .jsonl file "
            "(plain, .gz, .xz, .zst or .bz2) or a .parquet file."
        )
    empty = True
    for where, record in readers[kind](path, packing):
        if empty:
            _check_fields(config, record, path)
        empty = False
        text = record.get(config.text_field)
        if not isinstance(text, str):
            raise BasinError(
                f"{path}, {where} has no text in {config.text_field!r}: mend or remove that record."
            )
        yield record, text
    if empty:
        raise BasinError(f"{path} holds no records: name a file that does.")


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
            known = ", ".join(map(str, record)) or "none"
            raise BasinError(f"{path} has no field {field!r}: set {name} to one of its fields ({known}).")


def _folder(folder: Path) -> Iterator[tuple[Record, str]]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in TEXT_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise BasinError(
            f"The folder {folder} holds no .txt or .md files: put texts there, or name another folder."
        )
    for path in files:
        yield _text_file(path, folder)


def _text_file(path: Path, folder: Path) -> tuple[Record, str]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BasinError(f"{path} is not UTF-8 text: convert it, or take it out of the corpus.") from error
    if "\0" in text:
        raise BasinError(f"{path} is a binary file, not text: take it out of the corpus.")
    name = path.relative_to(folder)
    return {"path": name.as_posix(), "title": name.with_suffix("").as_posix()}, "\n".join(text.splitlines())


def _jsonl(path: Path, packing: str) -> Iterator[tuple[str, Record]]:
    """(line number in words, object) of every line that is not blank."""
    number = 0
    try:
        with OPENERS[packing](path) as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except ValueError as error:  # of the encoding or of JSON
                    raise BasinError(
                        f"{path}, line {number} is not JSON in UTF-8: mend or remove that line."
                    ) from error
                if not isinstance(record, dict):
                    raise BasinError(f"{path}, line {number} is not a JSON object: mend or remove that line.")
                yield f"line {number}", record
    except (EOFError, lzma.LZMAError, gzip.zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's fault, not the file's
        raise BasinError(
            f"{path} is damaged or cut short after line {number} ({error}): fetch or pack it again."
        ) from error


def _parquet(path: Path, packing: str) -> Iterator[tuple[str, Record]]:
    """(row number in words, row) of a Parquet file, without holding all of it."""
    try:
        with pq.ParquetFile(path) as table:
            rows = (row for batch in table.iter_batches(batch_size=64) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f"row {number}", row
    except pa.ArrowException as error:
        raise BasinError(f"{path} is not a whole Parquet file: fetch or write it again.") from error
