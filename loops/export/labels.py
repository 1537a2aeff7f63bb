"""The refined labels as a data set: a folder of one Parquet file and a card, which `datasets` opens."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loops.export.card import model_card
from loops.export.subject import Export

FILE = "data/train-00000-of-00001.parquet"
"""Where `datasets` and the hub look for the rows of a split."""


def dataset(export: Export, draft: Path) -> list[str]:
    """A row for every real passage: text, document, what the topic says, what the concept says."""
    (draft / FILE).parent.mkdir(parents=True)
    pq.write_table(label_table(export), draft / FILE, compression="zstd")
    told = [
        "Membership is read with the whole document; log_odds_alone is the passage by itself, by a classifier that did not "
        "see its document.",
        "The corpus is in it: share it only where its licence lets you.",
    ]
    (draft / "README.md").write_text(model_card(export, "dataset", told), encoding="utf-8")
    return told


def label_table(export: Export) -> pa.Table:
    """The labels as Arrow has them."""
    passages, concept = export.passages, export.concept
    documents = [passages.documents[each.document] for each in passages.passages]
    return pa.table(
        {
            "passage": [each.id for each in passages.passages],
            "text": [_whole(each.text) for each in passages.passages],
            "document": [each.id for each in documents],
            "title": [_whole(each.title) for each in documents],
            "author": [_whole(each.author) for each in documents],
            "position": pa.array([each.position for each in passages.passages], pa.int32()),
            "topic_weight": pa.array(export.pointer.weights(passages.texts), pa.float32()),
            "membership": pa.array(concept.membership, pa.float32()),
            "log_odds_alone": pa.array(concept.single, pa.float32()),
            "inside": pa.array(concept.inside),
        },
        metadata={"run": export.store.name, "round": str(export.round)},
    )


def _whole(text: str) -> str:
    """Half characters replaced: Arrow holds UTF-8 alone."""
    return text.encode("utf-8", "replace").decode("utf-8")
