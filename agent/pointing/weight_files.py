"""Examples and document weights from files, matched to the corpus's documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from agent.errors import BasinError, quoted
from agent.plain_files import DamagedError, parse_json
from agent.sources.bounded import read_whole
from agent.sources.corpora import CorpusConfig, load_corpus
from agent.sources.parquet_rows import read_parquet
from agent.sources.records import read_jsonl
from agent.sources.text_files import read_text
from agent.types import Document

MOST_BYTES = 64 << 20
REMEDY = "give the weights as Parquet"


def read_examples(path: Path) -> list[str]:
    """The texts of a folder or file; those in a `.txt` are apart by empty lines.

    Raises:
        BasinError: as `load_corpus`, and where there are none.
    """
    if path.suffix.lower() == ".txt" and path.is_file():
        text = read_text(path)
        found = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    else:
        found = [document.text for document in load_corpus(CorpusConfig(source=str(path)))]
    if not found:
        raise BasinError(f"{path} has no examples: write some, apart by empty lines.")
    return found


def read_weights(
    path: Path, field: str, loaded: Sequence[Document], kept: Sequence[Document]
) -> Float[np.ndarray, "document"]:
    """A weight for each kept document.

    Raises:
        BasinError: the file is none of the kinds, a weight is missing or no number, or the rows are not the corpus's.
    """
    rows = _rows(path, field)
    keys = next(
        (key for key in ("id", "title") if rows and all(row.get(key) not in (None, "") for row in rows)), None
    )
    if keys is None:
        if len(rows) != len(loaded):
            raise BasinError(
                f"{path} has {len(rows)} weights and the corpus {len(loaded)} documents: give one for each in order, or "
                "rows with an id or a title."
            )
        by_id = {document.id: _number(row, field, path) for row, document in zip(rows, loaded, strict=True)}
        return np.array([by_id[document.id] for document in kept])
    by_key = {str(row[keys]): _number(row, field, path) for row in rows}
    missing = [document for document in kept if getattr(document, keys) not in by_key]
    if missing:
        raise BasinError(
            f"{path} has no weight for {len(missing)} of {len(kept)} documents, such as {quoted(getattr(missing[0], keys))}: "
            f"give every document of the corpus a row, by {keys}."
        )
    return np.array([by_key[getattr(document, keys)] for document in kept])


def _rows(path: Path, field: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise BasinError(f"There are no document weights at {path}: check the path.")
    kind = path.suffix.lower()
    if kind == ".json":
        try:
            tree = parse_json(read_whole(path, MOST_BYTES, REMEDY), path.name)
        except DamagedError as damage:
            raise BasinError(f"{path} cannot be read ({damage}): write it again.") from None
        if not isinstance(tree, list):
            raise BasinError(f"{path} is no list of weights: write [0.1, 0.9, ...] in the corpus's order.")
        return [each if isinstance(each, dict) else {field: each} for each in tree]
    if kind in (".jsonl", ".ndjson"):
        return _records(read_jsonl(path, ""))
    if kind == ".parquet":
        return _records(read_parquet(path, ("id", "title", field)))
    raise BasinError(f"{path} is no .json, .jsonl or .parquet file: write the weights as one of these.")


def _records(rows: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for _, row in rows]


def _number(row: dict[str, Any], field: str, path: Path) -> float:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BasinError(
            f"{path} has {quoted(value)} for a weight ({field}): give numbers from 0 to 1, and pointer.weight_field where the "
            "field has another name."
        )
    return float(value)
