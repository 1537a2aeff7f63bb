"""A steering vector inside a model's weights, for programs that load weights alone.

A block's output is the stream plus the result of its feed-forward part. Adding a direction to the
output therefore equals adding it to the bias of that part's last linear map.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from agent.language_model.architecture import decoder_blocks
from agent.steering.vector import SteeringVector

LAST_MAPS = {"llama": "mlp.down_proj", "gpt2": "mlp.c_proj", "gpt_neox": "mlp.dense_4h_to_h", "opt": "fc2"}
"""The feed-forward part's last linear map, where the configuration allows a bias."""


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
