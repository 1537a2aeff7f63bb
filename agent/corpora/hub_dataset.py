"""Data sets of the Hugging Face hub, streamed row by row; their code is never run.

The reader is the `datasets` library (Lhoest et al. 2021, arXiv:2109.02846) in streaming mode. It also
reads a local folder laid out as a data set.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agent.corpora.tables import Fields, Record, with_text
from agent.errors import BasinError, first_sentence, quoted, shortened
from agent.hub.quiet import quiet_datasets

logger = logging.getLogger(__name__)

SCHEME = "hf:"
NAME = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?|[~./].{0,4000}")
"""A name on the hub, or a folder."""
UNREACHABLE = frozenset(
    [
        "ConnectionError",
        "HTTPError",
        "TransportError",
        "OfflineModeIsEnabled",
        "TimeoutError",
        "LocalEntryNotFoundError",
    ]
)


def dataset_name(source: str) -> str | None:
    """The data set that a source names, or None; raises `ValueError` for an invalid name."""
    if not source.startswith(SCHEME):
        return None
    name = source.removeprefix(SCHEME)
    if not NAME.fullmatch(name) or "://" in name:
        raise ValueError(f"{shortened(name, 80)!r} is no name of a data set; write for example hf:owner/name")
    return name


def read_dataset(
    name: str, subset: str | None, split: str, fields: Fields, others: Collection[str] | None
) -> Iterator[tuple[Record, str]]:
    """(row, text) of a split, in its order.

    Args:
        others: columns to read besides `fields`; None reads all.

    Raises:
        BasinError: the data set, subset, split or field does not exist; the hub does not answer or
            wants a login; or a row has no text.
    """
    logger.info(f"Streaming {name} ({split}), without a local copy")
    data_set = _DataSet(f"{SCHEME}{name}", subset, split)
    with data_set.errors_named():
        import datasets

        rows = datasets.load_dataset(name, subset, split=split, streaming=True)
        if (known := rows.column_names) is None:
            known = list(next(iter(rows), {}))
        if others is not None:  # other columns, such as pictures, are neither fetched nor decoded
            rows = rows.select_columns(
                [column for column in known if column in {*fields, *others}] or known[:1]
            )
        stream = iter(rows)
    blank = dict.fromkeys(known)
    yield from with_text(data_set.rows(stream, blank), fields, data_set.source)


@dataclass(frozen=True)
class _DataSet:
    source: str
    subset: str | None
    split: str

    def rows(self, stream: Iterator[Any], blank: Record) -> Iterator[tuple[str, Record]]:
        number = 0
        while True:
            with self.errors_named():
                row = next(stream, None)
            if row is None:
                return
            number += 1
            yield f"row {number}", {**blank, **row}

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """Turn the libraries' exceptions, of nearly every class, into one sentence."""
        try:
            with quiet_datasets():
                yield
        except (BasinError, MemoryError):
            raise
        except Exception as error:
            raise BasinError(self.explain(error)) from error

    def explain(self, error: Exception) -> str:
        source = self.source
        kinds = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
        message, quote = str(error), shortened(first_sentence(error), 120)
        lower = message.lower()
        if "config" in lower and ("is missing" in message or "not found" in message):
            known = re.findall(r"'([\w.-]+)'", message)
            near = difflib.get_close_matches(self.subset or "", known, 1)
            meant = near[0] if near else ", ".join(known[:8]) or "one that it has"
            return f"{source} has no subset {self.subset!r}: set corpus.subset to {meant}."
        if "split" in lower and ("unknown" in lower or "bad split" in lower):
            return f"{source} has no split {self.split!r} ({quote}): set corpus.split to one that it has."
        if "GatedRepoError" in kinds or "gated" in lower:
            return f"{source} is gated: accept its terms on the hub and log in (`hf auth login`)."
        if (
            kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}
            or "doesn't exist on the Hub" in message
        ):
            return (
                f"{source} is not on the hub, or it is private: check the name, or log in (`hf auth login`)."
            )
        if "Dataset scripts are no longer supported" in message:
            return f"{source} needs code of its own, which Basin does not run: name one of Parquet, JSONL or text files."
        if kinds & {"FileNotFoundError", "EmptyDatasetError", "DataFilesNotFoundError"}:
            return f"{source} holds no data files that can be read ({quoted(first_sentence(error))}): check the name."
        if kinds & UNREACHABLE:
            return f"The hub does not give {source} ({quote}): check the network, and try again."
        return f"{source} cannot be read ({type(error).__name__}: {quote}): check the name and its files."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
