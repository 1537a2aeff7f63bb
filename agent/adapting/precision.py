"""What is computed in which format while an adapter is taught to a model of bfloat16.

On a CPU, attention in float32: there the way back through scaled dot product attention takes twice as long in bfloat16 (92 ms
and 43 ms for eight texts of 190 tokens, nine heads of 64), whose small products are converted one by one. Everywhere, the
products of an adapter that is taught likelihood in bfloat16, while its weights, their gradients and the optimiser stay in
float32: PEFT would turn the input of every adapted layer into float32 instead, which is a tenth of the time that teaching
SmolLM2 takes on a CPU. Preference training gains nothing from it, and compares likelihoods that differ by little.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agent.hub.quiet import quiet_transformers
from agent.language_model.model import LanguageModel

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
    with torch.autocast(query.device.type, enabled=False):
        mixed, _ = sdpa_attention_forward(module, *wide, attention_mask, **options)
    return mixed.to(query.dtype), None


class NarrowProducts:
    """A trainer that multiplies with an adapter in the format of the model around it, where that is bfloat16.

    Mixed into a TRL trainer before its own class. The adapter's weights are rounded once a step (Micikevicius et al.
    1710.03740); in float16 their gradients might vanish, so there PEFT's way is kept.
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
