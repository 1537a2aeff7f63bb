"""Gold labels: which documents belong to a concept. They are used to measure only.

`configs/labels/gold.yaml` names the field of a corpus that holds them. Run configurations cannot
name it, so the loop never reads them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from pydantic import TypeAdapter, ValidationError

from agent.config import CONFIGS, StageConfig, explain
from agent.corpora.load import NAMED, CorpusConfig, iter_records
from agent.errors import BasinError, escaped, quoted, shortened
from agent.files.yaml_file import read_yaml
from agent.types import Document, document_id

logger = logging.getLogger(__name__)

GOLD_FILE = CONFIGS / "labels" / "gold.yaml"
SUITE_GOLD_FILE = GOLD_FILE.with_name("suite.yaml")
"""Labels of the concepts that `basin evaluate membership` measures."""


class GoldConfig(StageConfig):
    """The field and the value that mark a document as belonging to a concept."""

    field: str = "label"
    """Field of a JSONL or Parquet record; for Brown `category`, the letter in a sample's file name.
    """
    positive: bool | int | str = True
    """The value of a document that belongs; in a list, one of its entries."""
    leave_out: str | None = None
    """A field that is true for documents with a debatable label, which are not measured."""
    concept: str = "label"
    """Name of the concept in tables."""
    corpus: str | None = None
    """Name of the corpus in tables; by default the file's, without its endings."""


@dataclass(frozen=True)
class GoldLabels:
    """Which documents belong to the concept, according to human readers."""

    labels: Bool[np.ndarray, "document"]
    counted: Bool[np.ndarray, "document"]
    """False for documents that are not measured."""
    concept: str
    corpus: str

    def of_passages(self, document_of: Int[np.ndarray, "passage"]) -> Bool[np.ndarray, "passage"]:
        """The label of each passage's document."""
        return np.asarray(self.labels[document_of])


def gold_labels(
    corpus: CorpusConfig, documents: Sequence[Document], gold_file: Path = GOLD_FILE
) -> GoldLabels | None:
    """The corpus's main gold labels, or None where it has none; see `every_gold_labels`."""
    return next(iter(every_gold_labels(corpus, documents, gold_file)), None)


def every_gold_labels(
    corpus: CorpusConfig, documents: Sequence[Document], gold_file: Path = GOLD_FILE
) -> list[GoldLabels]:
    """All readings of a corpus's gold labels, the main one first, matched by `document_id`.

    A reading that cannot be used is logged and left out.

    Raises:
        BasinError: the gold file is not valid, some of `documents` are missing from the corpus, or
            the corpus cannot be read.
    """
    name = corpus.source if corpus.source in NAMED else Path(corpus.source).name
    configs = _entries(name, gold_file)
    wanted = {config.field for config in configs}
    wanted |= {config.leave_out for config in configs if config.leave_out is not None}
    found: dict[str, dict[str, Any]] = {}
    for record, text in iter_records(corpus, fields=wanted):
        values = {field: _label(record.get(field)) for field in wanted}
        # The first of several equal texts counts, as it does where documents are loaded.
        found.setdefault(document_id(text), values)
    missing = [document for document in documents if document.id not in found]
    if missing:
        raise BasinError(
            f"{len(missing)} of {len(documents)} documents (first: {missing[0].title or missing[0].id}) "
            f"are not in {name} any more; measure with the corpus that the run was made from."
        )
    records = [found[document.id] for document in documents]
    readings = []
    for config in configs:
        labels = _read(records, config, name)
        if isinstance(labels, GoldLabels):
            readings.append(labels)
        else:
            logger.info(labels)
    return readings


def _entries(name: str, gold_file: Path) -> list[GoldConfig]:
    """The corpus's entries in the gold file, or the default one."""
    try:
        tree = read_yaml(gold_file, "repair it") or {}
    except FileNotFoundError:
        tree = {}
    if not isinstance(tree, Mapping):
        raise BasinError(f"{gold_file} is not a table of corpora; see the one that comes with Basin.")
    if name not in tree:
        return [GoldConfig()]
    try:
        return TypeAdapter(list[GoldConfig]).validate_python(tree[name])
    except ValidationError as error:
        raise BasinError(
            f"{gold_file}: {name}: {explain(error, list[GoldConfig]).rstrip('.')}; correct the entry."
        ) from None


def _read(records: Sequence[Mapping[str, Any]], config: GoldConfig, name: str) -> GoldLabels | str:
    """One reading of the labels, or the reason why it cannot be used."""
    name = shortened(escaped(name), 100)
    values = [record[config.field] for record in records]
    unknown = sum(value is None for value in values)
    if unknown == len(values):
        return f"{name} has no gold labels (no field {quoted(config.field)}), so nothing is measured against any."
    if unknown:
        return f"{unknown} of {len(values)} documents of {name} have no {quoted(config.field)}; label all or none."
    if config.leave_out and all(record[config.leave_out] is None for record in records):
        return f"{name} has no field {quoted(config.leave_out)} to leave documents out by; correct the entry."
    counted = np.array([not (config.leave_out and record[config.leave_out]) for record in records])
    labels = np.array([_belongs(value, config.positive) for value in values])
    if len(np.unique(labels[counted])) < 2:
        return (
            f"{labels[counted].sum()} of {counted.sum()} documents of {name} have {quoted(config.field)} = "
            f"{quoted(config.positive)}, so there is nothing to tell apart; name the value that belongs in "
            "configs/labels/gold.yaml."
        )
    return GoldLabels(labels, counted, config.concept, config.corpus or name.partition(".")[0] or "corpus")


def _label(value: Any) -> Any:
    """The value, or None for NaN, which stands for a missing one in many tables."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _belongs(value: Any, positive: bool | int | str) -> bool:
    return bool(positive in value if isinstance(value, list | tuple) else value == positive)
