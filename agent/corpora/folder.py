"""A folder as a corpus: texts and books, one a document, or tables one after the other."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from agent.corpora.epub import EPUB_SUFFIX, read_epub
from agent.corpora.html import WEB_SUFFIXES, read_web_page
from agent.corpora.tables import Record
from agent.corpora.text import TEXT_SUFFIXES, read_text, without_boilerplate
from agent.errors import BasinError, escaped
from agent.files.bounded import MOST_DOCUMENTS, require_file

logger = logging.getLogger(__name__)

DOCUMENT_SUFFIXES = (*TEXT_SUFFIXES, EPUB_SUFFIX, *WEB_SUFFIXES)
DEEPEST = 100
"""Folders within folders."""
NOTES = ("readme", "license", "licence", "dataset_card", "citation")
"""Names of texts that describe the tables beside them."""


def read_document(path: Path, folder: Path) -> tuple[Record, str]:
    """(path, title and author; text) of one file.

    Raises `BasinError` if the file cannot be read whole, or its content does not fit its name.
    """
    name = path.relative_to(folder)
    # A file name need not be UTF-8, but must be printable.
    record = {"path": escaped(name.as_posix()), "title": escaped(name.with_suffix("").as_posix())}
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return record, read_text(path)
    if suffix == EPUB_SUFFIX:
        about, text = read_epub(path)
    else:
        page = read_web_page(path)
        about, text = {"title": page.title, "author": page.author}, page.text
    return record | {key: value for key, value in about.items() if value}, without_boilerplate(text)


def read_folder(
    folder: Path, tables: tuple[str, ...], read_table: Callable[[Path], Iterator[tuple[Record, str]]]
) -> Iterator[tuple[Record, str]]:
    """(record, text) of every document below a folder, in path order, without hidden files.

    Args:
        tables: endings of files with a document a row.
        read_table: reads the rows of one of them.

    Raises:
        BasinError: the folder holds no documents, or both documents and tables; a link leads to a
            folder or outside; or a file is refused by `read_document` or `read_table`.
    """
    others = Counter[str]()
    files = sorted(_files_in(folder, (*DOCUMENT_SUFFIXES, *tables), others))
    rows = [file for file in files if file.name.lower().endswith(tables)]
    if not files:
        raise BasinError(
            f"The folder {folder} holds no .txt or .md files, no .epub or .html books and no .parquet or .jsonl tables: "
            "put texts there, or name another folder."
        )
    if others:
        kinds = ", ".join(f"{count} {escaped(kind)}" for kind, count in others.most_common(5))
        _say_once(f"{folder} also holds files of kinds that Basin does not read: {kinds}.")
    if not rows:
        for file in files:
            yield read_document(file, folder)
        return
    tables_found = set(rows)
    texts = [file for file in files if file not in tables_found and not file.stem.lower().startswith(NOTES)]
    if texts:
        raise BasinError(
            f"The folder {folder} holds texts ({texts[0].name}) and tables ({rows[0].name}): name a folder of one kind."
        )
    for file in rows:
        yield from read_table(file)


@cache
def _say_once(sentence: str) -> None:
    logger.info(sentence)  # a corpus may be read several times


def _files_in(folder: Path, suffixes: tuple[str, ...], others: Counter[str]) -> Iterator[Path]:
    """Every file with one of the endings, in no order; `others` counts the other endings.

    Raises `BasinError` as `read_folder`.
    """
    real, found = folder.resolve(), 0
    waiting = [(folder, 0)]
    while waiting:
        current, depth = waiting.pop()
        if depth > DEEPEST:
            raise BasinError(f"{current} is more than {DEEPEST} folders deep: move its texts up.")
        with os.scandir(current) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((path, depth + 1))
                elif entry.is_symlink() and os.path.isdir(path):  # Path.is_dir raises for long names
                    raise BasinError(
                        f"{path} is a link to a folder, and links are not followed out of a corpus: "
                        "put the folder itself there, or remove the link."
                    )
                elif entry.name.lower().endswith(suffixes):
                    _require_inside(path, real)
                    found += 1
                    if found > MOST_DOCUMENTS:
                        raise BasinError(
                            f"{folder} holds more than {MOST_DOCUMENTS:,} files: name a smaller folder."
                        )
                    yield path
                else:
                    others[path.suffix.lower() or "without an ending"] += 1


def _require_inside(path: Path, folder: Path) -> None:
    """Raise `BasinError` unless the path is, or links to, an ordinary file in the folder."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if not path.is_symlink():
            raise
        raise BasinError(
            f"{path} is a link that leads nowhere ({error.strerror}): remove it, or repair its target."
        ) from error
    require_file(path, mode)
    if path.is_symlink() and not path.resolve().is_relative_to(folder):
        raise BasinError(
            f"{path} is a link that leads out of the corpus folder: put the file itself there, or remove the link."
        )
