"""Export the concept in weights: PEFT's adapter, or a model with adapter and vector.

A block's output is the stream plus the result of its feed-forward part. Adding a direction to the
output therefore equals adding it to the bias of that part's last linear map.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agent.errors import BasinError
from agent.hub.quiet import quiet_transformers
from agent.language_model.adapter import CONFIG
from agent.language_model.architecture import decoder_blocks
from agent.steering.vector import SteeringVector
from loops.checkpoint.round_folders import folder_name
from loops.export.card import HUB, model_card
from loops.export.data import write_tensors
from loops.export.subject import Export

VECTOR_FILE = "steering.safetensors"
LAST_MAPS = {"llama": "mlp.down_proj", "gpt2": "mlp.c_proj", "gpt_neox": "mlp.dense_4h_to_h", "opt": "fc2"}
"""The feed-forward part's last linear map, where the configuration allows a bias."""


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


def can_bake(model: Any) -> bool:
    """Whether the model's architecture has a place for a direction in its weights."""
    config = model.config.get_text_config()
    norm_last = config.model_type == "opt" and not config.do_layer_norm_before
    return config.model_type in LAST_MAPS and not norm_last


def bake(model: Any, vector: SteeringVector) -> Any:
    """A copy of the model whose biases add the vector.

    Llama has biases only if its configuration sets `mlp_bias`, and then in every feed-forward map.
    The biases that are not needed are zero.

    Raises:
        ValueError: the architecture has no place for the vector; see `can_bake`.
    """
    if not can_bake(model):
        raise ValueError(f"{type(model).__name__} has no bias to put a vector into")
    baked = copy.deepcopy(model)
    config = baked.config.get_text_config()
    blocks = decoder_blocks(baked)
    if config.model_type == "llama" and not config.mlp_bias:
        config.mlp_bias = True
        for block in blocks:
            for linear in (block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj):
                linear.bias = nn.Parameter(torch.zeros_like(linear.weight[:, 0]), requires_grad=False)
    with torch.no_grad():
        for layer, direction in vector.directions.items():
            bias: Any = blocks[layer - 1].get_submodule(LAST_MAPS[config.model_type]).bias
            bias += direction.to(bias.device, bias.dtype)
    return baked
