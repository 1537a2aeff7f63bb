"""The concept in weights: its adapter in PEFT's layout, and the whole model with adapter and vector in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from agent.errors import BasinError
from agent.hub.models import quiet_transformers
from agent.language_model.adapter import CONFIG, Adapter
from loops.checkpoint.round_folders import folder_name
from loops.export.card import model_card
from loops.export.subject import Export
from loops.export.vector import vector_tensors

VECTOR_FILE = "steering.safetensors"


def adapter(export: Export, draft: Path) -> list[str]:
    """PEFT's two files, a card, and the vector that the round writes with besides."""
    found = _adapter(export)
    draft.mkdir()
    for name, content in found.files().items():
        (draft / name).write_bytes(content)
    told = []
    if export.concept.vector is not None:
        vector_tensors(export, draft / VECTOR_FILE)
        told.append(
            f"PEFT loads the adapter alone; the round also adds a vector, which is beside it in {VECTOR_FILE} "
            f"({export.concept.nats_per_token:.3g} nats per token)."
        )
    told.append(
        f"{CONFIG} names {export.model_name} as the base model: give PEFT the model that this name means to Basin."
    )
    (draft / "README.md").write_text(model_card(export, "adapter", told), encoding="utf-8")
    return told


def model(export: Export, draft: Path) -> list[str]:
    """A folder that transformers loads, with a card."""
    form = getattr(torch, _torch_form(export.form))
    whole, tokenizer, told, adds_vector = in_weights(export)
    draft.mkdir()
    with quiet_transformers():
        whole.to(form).save_pretrained(draft)
        tokenizer.save_pretrained(draft)
    if not adds_vector and export.concept.vector is not None:
        vector_tensors(export, draft / VECTOR_FILE)
    (draft / "README.md").write_text(model_card(export, "model", told), encoding="utf-8")
    return told


def gguf(export: Export, draft: Path) -> list[str]:
    """One file that llama.cpp runs."""
    from loops.export.gguf_model import Format, write_gguf

    whole, tokenizer, told, adds_vector = in_weights(export)
    about = {**export.about(), "vector": "in the weights" if adds_vector else "not in this file"}
    write_gguf(
        draft, whole, tokenizer, f"{export.model_name}, {export.title}", cast("Format", export.form), about
    )
    return told


def in_weights(export: Export) -> tuple[Any, Any, list[str], bool]:
    """The model with all of the concept that its weights can hold, its tokenizer, what is left out, and whether it steers.

    Raises:
        BasinError: the round has nothing to write with, or nothing that weights could hold.
    """
    from loops.export.baking import bake, can_bake

    concept = export.concept
    if not concept.can_write:
        raise BasinError(
            f"Round {export.round} of {export.store.name} has neither vector nor adapter: choose a later --round."
        )
    own = export.language_model()
    whole, told, baked = own.adapted(concept.adapter).model, [], False
    if concept.vector is not None and concept.mode.is_plain and can_bake(whole):
        whole, baked = bake(whole, export.vector), True
    elif concept.vector is not None:
        why = (
            f"{type(whole).__name__} has no bias to hold it"
            if concept.mode.is_plain
            else "it is not simply added"
        )
        if concept.adapter is None:
            raise BasinError(
                f"The vector of {export.title} cannot go into the weights ({why}), and there is no adapter to merge: export "
                "safetensors, or a round with an adapter."
            )
        told.append(f"The vector is not in the weights ({why}); the adapter is.")
    elif export.strength != 1:
        told.append("There is no vector: --strength changes nothing.")
    return whole, own.tokenizer, told, baked


def _adapter(export: Export) -> Adapter:
    found = export.concept.adapter
    if found is None:
        with_one = [
            number
            for number in export.store.rounds()
            if (export.store.path / folder_name(number) / "adapter").is_dir()
        ]
        remedy = (
            f"round {', '.join(map(str, with_one))} has"
            if with_one
            else "no round has; updating.adapter_from trains one"
        )
        raise BasinError(f"Round {export.round} of {export.store.name} has no adapter: {remedy}.")
    return found


def _torch_form(form: str) -> str:
    if form == "q8_0":
        raise BasinError(
            "q8_0 is a format of GGUF files: give --dtype bfloat16, float16 or float32, or --to gguf."
        )
    return form
