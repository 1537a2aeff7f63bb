"""Export the steering vector: control vector for llama.cpp and repeng, or safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch

from loops.export.subject import Export


def write_gguf_vector(export: Export, draft: Path) -> list[str]:
    """Write one GGUF file. Raises `BasinError` if the steering mode is not plain addition."""
    from agent.steering.control_vector import write_control_vector

    vector = export.vector
    hint = export.model_config.get_text_config().model_type
    write_control_vector(draft, vector, hint, export.concept.mode, export.metadata())
    last = vector.layers[-1] - 1
    nats = export.concept.nats_per_token * export.strength**2
    return [
        f"llama.cpp: --control-vector FILE, or --control-vector-scaled FILE:1.5. Directions "
        f"{vector.layers[0] - 1} to {last}, about {nats:.3g} nats per token from the base model.",
        *_note_adapter(export),
    ]


def write_tensors(export: Export, draft: Path) -> list[str]:
    """Write one safetensors file: a row per layer, with the steering mode in its metadata."""
    vector, mode = export.vector, export.concept.mode
    tensors = vector.tensors()
    metadata = export.metadata() | {"norm_preserving": json.dumps(mode.norm_preserving)}
    if mode.gate is not None:
        tensors |= {"gate.direction": mode.gate.direction.contiguous()}
        metadata["gate"] = json.dumps(mode.gate.numbers())
    draft.write_bytes(safetensors.torch.save(tensors, metadata=metadata))
    return _note_adapter(export)


def _note_adapter(export: Export) -> list[str]:
    if export.concept.adapter is None:
        return []
    return [
        f"{export.title.capitalize()} also generates with an adapter, which is not in this file. "
        "Export the adapter, or the model with both in it."
    ]
