"""Export the steering vector (GGUF or safetensors), and the labels as a data set for `datasets`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch

from loops.export.card import model_card
from loops.export.subject import Export

ROWS = "data/train-00000-of-00001.parquet"
"""Where `datasets` and the hub look for the rows of a split."""


def write_gguf_vector(export: Export, draft: Path) -> list[str]:
    """Write one GGUF file. Raises `BasinError` as `write_control_vector`."""
    from agent.steering.control_vector import write_control_vector

    vector = export.vector
    hint = export.model_config.get_text_config().model_type
    write_control_vector(draft, vector, hint, export.metadata())
    last = vector.layers[-1] - 1
    nats = export.concept.nats_per_token * export.strength**2
    return [
        f"llama.cpp: --control-vector FILE, or --control-vector-scaled FILE:1.5. Directions "
        f"{vector.layers[0] - 1} to {last}, about {nats:.3g} nats per token from the base model.",
        *_note_adapter(export),
    ]


def write_tensors(export: Export, draft: Path) -> list[str]:
    """Write one safetensors file: a row per layer, with its use in the metadata."""
    draft.write_bytes(safetensors.torch.save(export.vector.tensors(), metadata=export.metadata()))
    return _note_adapter(export)


def write_dataset(export: Export, draft: Path) -> list[str]:
    """Write one Parquet file and a card: a row per real passage: text, document, topic weight and membership."""
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
    (draft / ROWS).parent.mkdir(parents=True)
    pq.write_table(table, draft / ROWS, compression="zstd")
    notes = [
        "The column membership uses the whole document. The column log_odds_alone uses the passage "
        "alone, scored by a classifier that never saw its document.",
        "The file contains the corpus: share it only if the corpus's licence allows that.",
    ]
    (draft / "README.md").write_text(model_card(export, "dataset", notes), encoding="utf-8")
    return notes


def _note_adapter(export: Export) -> list[str]:
    if export.concept.adapter is None:
        return []
    return [
        f"{export.title.capitalize()} also generates with an adapter, which is not in this file. "
        "Export the adapter, or the model with both in it."
    ]


def _valid_text(text: str) -> str:
    """The text with lone surrogates replaced: Arrow holds only UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
