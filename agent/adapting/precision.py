"""Number formats of training an adapter on a bfloat16 model, chosen for speed.

On a CPU, attention runs in float32, because its backward pass takes twice as long in bfloat16.
Supervised training multiplies with the adapter in bfloat16, while its weights, gradients and
optimiser stay in float32. PEFT's cast to float32 would take a tenth of SmolLM2's training time.
Preference training compares likelihoods that differ by little, and would not be faster.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agent.hub.quiet import quiet_transformers
from agent.language_model.model import LanguageModel

NAME = "basin_sdpa_in_float32"


def trainable_twin(language_model: LanguageModel) -> Any:
    """A twin of the model to train, whose attention may be computed in float32."""
    model = language_model.twin()
    narrow = language_model.device.type == "cpu" and model.dtype == torch.bfloat16
    if narrow and model.config._attn_implementation == "sdpa":
        with quiet_transformers():  # a model that refuses warns, and stays unchanged
            model.set_attn_implementation(NAME)
    return model


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' scaled dot product attention in float32, registered below as `NAME`."""
    wide = [each.float() for each in (query, key, value)]
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    with torch.autocast(query.device.type, enabled=False):
        mixed, _ = sdpa_attention_forward(module, *wide, attention_mask, **options)
    return mixed.to(query.dtype), None


class NarrowProducts(transformers.Trainer):
    """A trainer that multiplies with the adapter in the model's own format, where that is bfloat16.

    A mixin before a TRL trainer. The adapter's weights are rounded once a step (Micikevicius et al.
    1710.03740). In float16 their gradients might vanish, so that PEFT's way is kept there.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        core = self.model.get_base_model()
        self.narrow = core.get_output_embeddings().weight.dtype == torch.bfloat16
        if self.narrow:
            for module in self.model.modules():
                if hasattr(module, "cast_input_dtype_enabled"):
                    module.cast_input_dtype_enabled = False

    def compute_loss_context_manager(self) -> contextlib.ExitStack:
        context = contextlib.ExitStack()
        context.enter_context(super().compute_loss_context_manager())
        if self.narrow:
            context.enter_context(torch.autocast(self.model.device.type, torch.bfloat16))
        return context


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
