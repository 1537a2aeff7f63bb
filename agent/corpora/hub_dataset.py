"""Data sets of the Hugging Face hub by name, row by row as they arrive; no code of theirs is run, and nothing is kept whole.

The reader is the `datasets` library's (Lhoest et al. 2021, 2109.02846) with streaming. A local folder that is laid out as
a data set can be named, too.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from agent.corpora.tables import Fields, Record, checked
from agent.errors import BasinError, first_sentence, quoted, shortened

SCHEME = "hf:"
NAMED = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?|[~./].{0,4000}")
"""A name on the hub, or a folder."""
UNREACHABLE = frozenset(
    (
        "ConnectionError",
        "HTTPError",
        "TransportError",
        "OfflineModeIsEnabled",
        "TimeoutError",
        "LocalEntryNotFoundError",
    )
)


def dataset_name(source: str) -> str | None:
    """The data set that a source names, or None; `ValueError` says what is wrong with its name."""
    if not source.startswith(SCHEME):
        return None
    name = source.removeprefix(SCHEME)
    if not NAMED.fullmatch(name) or "://" in name:
        raise ValueError(f"{shortened(name, 80)!r} is no name of a data set; write for example hf:owner/name")
    return name


def read_dataset(
    name: str, subset: str | None, split: str, fields: Fields, others: Collection[str] | None
) -> Iterator[tuple[Record, str]]:
    """(row, its text) of a split, in its order; only the columns `fields` and `others`, all where that is None.

    Raises `BasinError` where there is no such data set, subset, split or field, where the hub does not answer or wants a
    login, and for a row that is not text.
    """
    logger.info(f"Streaming {name} ({split}), nothing of it is kept")
    source = f"{SCHEME}{name}"
    with _told(source, subset, split):
        import datasets

        rows = datasets.load_dataset(name, subset, split=split, streaming=True)
        if (known := rows.column_names) is None:
            known = list(next(iter(rows), {}))
        if (
            others is not None
        ):  # what nobody asked for, pictures above all, is not decoded, and of Parquet not fetched
            rows = rows.select_columns(
                [column for column in known if column in {*fields, *others}] or known[:1]
            )
        stream = iter(rows)
    blank = dict.fromkeys(known)
    yield from checked(_rows(stream, blank, source, subset, split), fields, source)


def _rows(stream: Iterator[Any], blank: Record, *about: Any) -> Iterator[tuple[str, Record]]:
    number = 0
    while True:
        with _told(*about):
            row = next(stream, None)
        if row is None:
            return
        number += 1
        yield f"row {number}", {**blank, **row}


@contextmanager
def _told(source: str, subset: str | None, split: str) -> Iterator[None]:
    """Whatever the libraries raise, as one sentence; they raise nearly everything there is."""
    try:
        with _quiet():
            yield
    except BasinError:
        raise
    except (KeyboardInterrupt, GeneratorExit, MemoryError):
        raise
    except Exception as error:
        raise BasinError(_sentence(source, subset, split, error)) from error


def _sentence(source: str, subset: str | None, split: str, error: Exception) -> str:
    kinds = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
    said, quote = str(error), shortened(first_sentence(error), 120)
    if "config" in said.lower() and ("is missing" in said or "not found" in said):
        known = re.findall(r"'([\w.-]+)'", said)
        near = difflib.get_close_matches(subset or "", known, 1)
        meant = near[0] if near else ", ".join(known[:8]) or "one that it has"
        return f"{source} has no subset {subset!r}: set corpus.subset to {meant}."
    if "split" in said.lower() and ("unknown" in said.lower() or "bad split" in said.lower()):
        return f"{source} has no split {split!r} ({quote}): set corpus.split to one that it has."
    if kinds & {"GatedRepoError"} or "gated" in said.lower():
        return f"{source} is open to those who ask only: accept its terms on the hub and log in (`hf auth login`)."
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"} or "doesn't exist on the Hub" in said:
        return f"{source} is not on the hub, or it is private: check the name, or log in (`hf auth login`)."
    if "Dataset scripts are no longer supported" in said:
        return f"{source} is made by code of its own, which Basin does not run: name one of Parquet, JSONL or text files."
    if kinds & {"FileNotFoundError", "EmptyDatasetError", "DataFilesNotFoundError"}:
        return f"{source} holds no data files that can be read ({quoted(first_sentence(error))}): check the name."
    if kinds & UNREACHABLE:
        return f"The hub does not give {source} ({quote}): check the network, and try again."
    return f"{source} cannot be read ({type(error).__name__}: {quote}): check the name and its files."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' remarks and progress bars off the terminal."""
    import datasets

    bars, level = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)
    hub.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        hub.setLevel(before)
        datasets.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
