"""Attention in float32 inside a model of bfloat16, while an adapter is taught on a CPU.

There the way back through scaled dot product attention takes twice as long in bfloat16 as in float32 (92 ms and 43 ms for eight
texts of 190 tokens, nine heads of 64): its products are small, and each is converted. All else stays in the model's own format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agent.language_model import LanguageModel
from agent.sources.models import quiet_transformers

NAME = "basin_sdpa_in_float32"


def trainee(language_model: LanguageModel) -> Any:
    """A twin of the model to be taught; only its attention may be computed otherwise, and more exactly."""
    model = language_model.twin()
    narrow = language_model.device.type == "cpu" and model.dtype == torch.bfloat16
    if narrow and model.config._attn_implementation == "sdpa":
        with quiet_transformers():  # a model that cannot be asked for it says so and stays as it is
            model.set_attn_implementation(NAME)
    return model


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """As transformers' own, called by the name that is registered below."""
    wide = [each.float() for each in (query, key, value)]
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    mixed, _ = sdpa_attention_forward(module, *wide, attention_mask, **options)
    return mixed.to(query.dtype), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
