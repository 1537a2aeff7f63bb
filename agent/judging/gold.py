"""Gold labels: the only reader of what somebody said a document is.

Labels exist to measure. Which field of a corpus holds them is written in `configs/labels/gold.yaml`, apart from
every run configuration, so that the loop cannot so much as name them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from pydantic import TypeAdapter, ValidationError

from agent.config import CONFIGS, explain
from agent.corpora.load import NAMED, CorpusConfig, iter_records
from agent.errors import BasinError, escaped, quoted, shortened
from agent.files.yaml_file import read_yaml
from agent.types import Document, StageConfig, document_id

GOLD_FILE = CONFIGS / "labels" / "gold.yaml"
SUITE_GOLD_FILE = GOLD_FILE.with_name("suite.yaml")
"""Labels of the concepts that `basin evaluate membership` measures."""


class GoldConfig(StageConfig):
    """Where one label of a corpus is, and which value means that a document belongs."""

    field: str = "label"
    """Field of a JSONL or Parquet record; for Brown `category`, the letter in a sample's file name."""
    positive: bool | int | str = True
    """The value of a document that belongs; of a field that holds a list, one of its entries."""
    leave_out: str | None = None
    """A field that is true for documents whose label is debatable; they are not measured."""
    concept: str = "label"
    """What the label calls the concept, for tables."""
    corpus: str | None = None
    """Name of the corpus in tables; by default the file's own, without its endings."""


@dataclass(frozen=True)
class GoldLabels:
    """Which documents belong to the concept, according to somebody who has read them."""

    labels: Bool[np.ndarray, "document"]
    counted: Bool[np.ndarray, "document"]
    """False for documents that are left out of the measuring."""
    concept: str
    corpus: str

    def of_passages(self, document_of: Int[np.ndarray, "passage"]) -> Bool[np.ndarray, "passage"]:
        """The label of every passage's document; a passage has none of its own."""
        return self.labels[document_of]


def gold_labels(
    corpus: CorpusConfig,
    documents: Sequence[Document],
    report: Callable[[str], None] | None = None,
    gold_file: Path = GOLD_FILE,
) -> GoldLabels | None:
    """The corpus's main gold labels, or None where it has none; see `every_gold_labels`."""
    return next(iter(every_gold_labels(corpus, documents, report, gold_file)), None)


def every_gold_labels(
    corpus: CorpusConfig,
    documents: Sequence[Document],
    report: Callable[[str], None] | None = None,
    gold_file: Path = GOLD_FILE,
) -> list[GoldLabels]:
    """All readings of a corpus's gold labels, the main one first, matched by `document_id`.

    Args:
        report: given one sentence for every reading that cannot be used, saying why.

    Raises:
        BasinError: the gold file is not valid, some of `documents` are not in the corpus (any more), or the
            corpus cannot be read.
    """
    name = corpus.source if corpus.source in NAMED else Path(corpus.source).name
    configs = _entries(name, gold_file)
    wanted = {config.field for config in configs} | {config.leave_out for config in configs} - {None}
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
        elif report:
            report(labels)
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
    """One reading of the labels, or the sentence that says why there is none."""
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
