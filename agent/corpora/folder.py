"""A folder as a corpus: texts and books one a document, or tables one after the other, none of them outside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.corpora.epub import EPUB_SUFFIX, read_epub
from agent.corpora.html import TEXT_SUFFIXES, WEB_SUFFIXES, read_text, read_web_page
from agent.corpora.tables import Record
from agent.corpora.text import without_boilerplate
from agent.errors import BasinError, escaped
from agent.files.bounded import MOST_DOCUMENTS, require_file

DOCUMENT_SUFFIXES = (*TEXT_SUFFIXES, EPUB_SUFFIX, *WEB_SUFFIXES)
DEEPEST = 100
"""Folders within folders."""
NOTES = ("readme", "license", "licence", "dataset_card", "citation")
"""Texts that lie beside tables and speak of them."""


def read_document(path: Path, folder: Path) -> tuple[Record, str]:
    """(path, title and author, text) of one file.

    Raises `BasinError` where it cannot be read whole, or is not what it is named.
    """
    name = path.relative_to(folder)
    # A name need not be UTF-8, and has to be shown.
    record = {"path": escaped(name.as_posix()), "title": escaped(name.with_suffix("").as_posix())}
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return record, read_text(path)
    if suffix == EPUB_SUFFIX:
        about, text = read_epub(path)
    else:
        page = read_web_page(path)
        about, text = {"title": page.title, "author": page.author}, page.text
    _, text, _ = without_boilerplate(text)
    return record | {key: value for key, value in about.items() if value}, text


def read_folder(
    folder: Path, tables: tuple[str, ...], read_table: Callable[[Path], Iterator[tuple[Record, str]]]
) -> Iterator[tuple[Record, str]]:
    """(what is known, text) of every document in a folder and the folders in it, in the order of their paths.

    Hidden files and folders are left out. Raises `BasinError` for a folder without documents, for one that holds both documents
    and tables, for a link that leads out of the folder or to a folder, and as `read_document` and `read_table`.

    Args:
        tables: endings of files with a document a row.
        read_table: the rows of one of them.
    """
    files = sorted(files_in(folder, (*DOCUMENT_SUFFIXES, *tables)))
    rows = [file for file in files if file.name.lower().endswith(tables)]
    if not rows:
        if not files:
            raise BasinError(
                f"The folder {folder} holds no .txt or .md files, no .epub or .html books and no .parquet or .jsonl tables: "
                "put texts there, or name another folder."
            )
        for file in files:
            yield read_document(file, folder)
        return
    known = set(rows)
    texts = [file for file in files if file not in known and not file.stem.lower().startswith(NOTES)]
    if texts:
        raise BasinError(
            f"The folder {folder} holds texts ({texts[0].name}) and tables ({rows[0].name}): name a folder of one kind."
        )
    for file in rows:
        yield from read_table(file)


def files_in(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Every file with one of the endings, in no order; raises `BasinError` as `read_folder`."""
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
                elif entry.is_symlink() and _is_folder(path):
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


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # Path.is_dir raises for a name that is too long


def _require_inside(path: Path, folder: Path) -> None:
    """Raise `BasinError` unless the path is an ordinary file in the (resolved) folder, itself or by a link."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if not path.is_symlink():
            raise
        raise BasinError(
            f"{path} is a link that leads nowhere ({error.strerror}): remove it, or mend what it points to."
        ) from error
    require_file(path, mode)
    if path.is_symlink() and not path.resolve().is_relative_to(folder):
        raise BasinError(
            f"{path} is a link that leads out of the corpus folder: put the file itself there, or remove the link."
        )
