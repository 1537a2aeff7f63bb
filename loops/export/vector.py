"""The steering vector by itself: as a control vector for llama.cpp and repeng, and as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch

from loops.export.subject import Export


def control_vector(export: Export, draft: Path) -> list[str]:
    """One GGUF file. Raises `BasinError` where the vector is not simply added."""
    from agent.steering.control_vector import write_control_vector

    vector = export.vector
    hint = export.model_config.get_text_config().model_type
    write_control_vector(draft, vector, hint, export.concept.mode, export.about())
    last = vector.layers[-1] - 1
    return [
        f"llama.cpp: --control-vector FILE, or --control-vector-scaled FILE:1.5; directions {vector.layers[0] - 1} to {last}, "
        f"{export.concept.nats_per_token * export.strength**2:.3g} nats per token from the base model, about.",
        *_without_adapter(export),
    ]


def vector_tensors(export: Export, draft: Path) -> list[str]:
    """One safetensors file: a row a layer, and in its metadata how it is applied."""
    vector, gate = export.vector, export.concept.mode.gate
    tensors = vector.tensors()
    about = export.about() | {"norm_preserving": json.dumps(export.concept.mode.norm_preserving)}
    if gate is not None:
        tensors |= {"gate.direction": gate.direction.contiguous()}
        about["gate"] = json.dumps(gate.numbers())
    draft.write_bytes(safetensors.torch.save(tensors, metadata=about))
    return _without_adapter(export)


def _without_adapter(export: Export) -> list[str]:
    if export.concept.adapter is None:
        return []
    return [
        f"{export.title.capitalize()} writes with an adapter too, which is not in this file. "
        "Export the adapter, or the model or GGUF with both in it."
    ]
