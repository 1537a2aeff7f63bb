"""Export the concept in weights: PEFT's adapter, or a model with adapter and vector."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from agent.errors import BasinError
from agent.hub.quiet import quiet_transformers
from agent.language_model.adapter import CONFIG
from agent.language_model.decoding.baked import bake, can_bake
from loops.checkpoint.round_folders import folder_name
from loops.export.card import HUB, model_card
from loops.export.data import write_tensors
from loops.export.subject import Export

VECTOR_FILE = "steering.safetensors"


def write_adapter(export: Export, draft: Path) -> list[str]:
    """Write PEFT's two files, a card, and the round's vector beside them.

    Raises:
        BasinError: the round has no adapter.
    """
    adapter = export.concept.adapter
    if adapter is None:
        raise BasinError(f"Round {export.round} of {export.store.name} has no adapter: {_where(export)}.")
    draft.mkdir()
    base = HUB.get(export.base_name, (export.base_name,))[0]
    named = replace(adapter, config={**adapter.config, "base_model_name_or_path": base})
    for name, content in named.files().items():
        (draft / name).write_bytes(content)
    notes = []
    if export.concept.vector is not None:
        write_tensors(export, draft / VECTOR_FILE)
        notes.append(
            f"PEFT loads the adapter alone. The round also adds the vector in {VECTOR_FILE} "
            f"({export.concept.nats_per_token:.3g} nats per token)."
        )
    if os.path.isdir(base):
        notes.append(
            f"{CONFIG} names the base model {export.model_name} by its folder on this machine: elsewhere, give PEFT the "
            "same model, and change base_model_name_or_path."
        )
    else:
        notes.append(f"{CONFIG} names {base} as the base model: give PEFT the same model.")
    (draft / "README.md").write_text(model_card(export, "adapter", notes), encoding="utf-8")
    return notes


def write_model(export: Export, draft: Path) -> list[str]:
    """Write a folder that transformers loads, with a card.

    At strength 0, a round without an adapter gives the base model.

    Raises:
        BasinError: the round has neither vector nor adapter, or weights cannot hold what it has.
    """
    concept, notes, vector_inside = export.concept, [], False
    if not concept.can_write and export.strength != 0:
        raise BasinError(
            f"Round {export.round} of {export.store.name} has neither vector nor adapter: choose a later --round."
        )
    language_model = export.language_model()
    model = language_model.adapted(concept.adapter).model
    if concept.vector is not None and can_bake(model):
        model, vector_inside = bake(model, export.vector), True
    elif concept.vector is not None:
        notes.append(_refuse_or_note(export, model))
    elif export.strength != 1 and concept.adapter is not None:
        notes.append("There is no vector: --strength changes nothing.")
    draft.mkdir()
    _cast(model, export.dtype)
    with quiet_transformers():
        model.save_pretrained(draft)
        language_model.tokenizer.save_pretrained(draft)
    if not vector_inside and concept.vector is not None:
        write_tensors(export, draft / VECTOR_FILE)
    (draft / "README.md").write_text(model_card(export, "model", notes), encoding="utf-8")
    return notes


def _cast(model: Any, dtype: str) -> None:
    """Change the weights' type in place. Raises `BasinError` for a weight that it cannot hold."""
    model.to(getattr(torch, dtype))
    for name, weight in model.state_dict().items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise BasinError(
                f"{name} has numbers beyond {dtype}, which would be infinite: lower --strength, or take "
                "--dtype bfloat16 or float32."
            )


def _refuse_or_note(export: Export, model: Any) -> str:
    """The note on a vector that weights cannot hold. Raises `BasinError` without an adapter."""
    why = f"{type(model).__name__} has no bias to hold it"
    if export.concept.adapter is None:
        raise BasinError(
            f"The vector of {export.title} cannot go into the weights ({why}), and there is no adapter "
            "to merge: export safetensors, or a round with an adapter."
        )
    return f"The vector is not in the weights ({why}); the adapter is."


def _where(export: Export) -> str:
    """Rounds that have an adapter."""
    store = export.store
    found = [number for number in store.rounds() if (store.path / folder_name(number) / "adapter").is_dir()]
    if not found:
        return "no round has; updating.adapter_from trains one"
    return f"round {', '.join(map(str, found))} has"
