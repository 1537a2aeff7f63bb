"""Export the refined labels as a data set: one Parquet file and a card, opened by `datasets`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loops.export.card import model_card
from loops.export.subject import Export

FILE = "data/train-00000-of-00001.parquet"
"""Where `datasets` and the hub look for the rows of a split."""


def write_dataset(export: Export, draft: Path) -> list[str]:
    """Write a row per real passage: text, document, topic weight and membership."""
    passages, concept = export.passages, export.concept
    documents = [passages.documents[each.document] for each in passages.passages]
    table = pa.table(
        {
            "passage": [each.id for each in passages.passages],
            "text": [_valid_text(each.text) for each in passages.passages],
            "document": [each.id for each in documents],
            "title": [_valid_text(each.title) for each in documents],
            "author": [_valid_text(each.author) for each in documents],
            "position": pa.array([each.position for each in passages.passages], pa.int32()),
            "topic_weight": pa.array(export.pointer.weights(passages.texts), pa.float32()),
            "membership": pa.array(concept.membership, pa.float32()),
            "log_odds_alone": pa.array(concept.single, pa.float32()),
            "inside": pa.array(concept.inside),
        },
        metadata={"run": export.store.name, "round": str(export.round)},
    )
    (draft / FILE).parent.mkdir(parents=True)
    pq.write_table(table, draft / FILE, compression="zstd")
    notes = [
        "The column membership uses the whole document. The column log_odds_alone uses the passage "
        "alone, scored by a classifier that never saw its document.",
        "The file contains the corpus: share it only if the corpus's licence allows that.",
    ]
    (draft / "README.md").write_text(model_card(export, "dataset", notes), encoding="utf-8")
    return notes


def _valid_text(text: str) -> str:
    """The text with lone surrogates replaced: Arrow holds only UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
