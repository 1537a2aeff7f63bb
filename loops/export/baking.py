"""A plain steering vector put into a model's own weights, so that any program that runs the model writes steered.

Where a block's output is the stream plus what its feed-forward part makes, adding a direction to the output is adding it to
the bias of the last linear map of that part. Steered and baked model are then the same function.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from agent.language_model.architecture import decoder_blocks
from agent.steering.vector import SteeringVector


def _llama(block: Any) -> nn.Module:
    return block.mlp.down_proj


LAST_MAPS: Mapping[str, Callable[[Any], nn.Module]] = {
    "llama": _llama,
    "gpt2": lambda block: block.mlp.c_proj,
    "gpt_neox": lambda block: block.mlp.dense_4h_to_h,
    "opt": lambda block: block.fc2,
}
"""The feed-forward part's last linear map, of the architectures whose configuration has a bias there."""


def can_bake(model: Any) -> bool:
    """Whether the model's architecture has a place for a direction in its weights."""
    config = model.config.get_text_config()
    norm_last = config.model_type == "opt" and not config.do_layer_norm_before
    return config.model_type in LAST_MAPS and not norm_last


def bake(model: Any, vector: SteeringVector) -> Any:
    """A copy of the model that adds the vector by its biases; the model itself stays as it is.

    A Llama model has no biases there until its configuration says `mlp_bias`, and then everywhere in the feed-forward part:
    those that are not needed are zero.

    Raises:
        ValueError: the architecture has no place for it (`can_bake`).
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
                linear.bias = nn.Parameter(
                    torch.zeros(
                        linear.weight.shape[0], dtype=linear.weight.dtype, device=linear.weight.device
                    ),
                    requires_grad=False,
                )
    with torch.no_grad():
        for layer, direction in vector.directions.items():
            bias = LAST_MAPS[config.model_type](blocks[layer - 1]).bias
            bias += direction.to(bias.device, bias.dtype)
    return baked
