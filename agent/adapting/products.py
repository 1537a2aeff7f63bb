"""Products of an adapted linear map for training, without the copies and sums that PEFT's make.

A linear map with LoRA is y = x W' + bias + s x A' B' (Hu et al. 2106.09685). The last term is added
by the product itself, forward and backward, in the format of x. The adapter's float32 weights are
rounded once a step (Micikevicius et al. 1710.03740).
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class AdaptedProduct(torch.autograd.Function):
    """x W' + bias + x A' B', where W and the bias are frozen and B is scaled."""

    @staticmethod
    def forward(
        context: Any,
        x: Float[Tensor, "*place input"],
        base: tuple[Float[Tensor, "output input"], Float[Tensor, "output"] | None],
        a: Float[Tensor, "rank input"],
        b: Float[Tensor, "output rank"],
    ) -> Float[Tensor, "*place output"]:
        rows, a, b = x.flatten(0, -2), a.to(x.dtype), b.to(x.dtype)
        low = rows @ a.mT
        context.save_for_backward(rows, low, a, b, base[0])
        return nn.functional.linear(rows, *base).addmm_(low, b.mT).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(context: Any, slope: Float[Tensor, "*place output"]) -> Any:
        rows, low, a, b, weight = context.saved_tensors
        slopes = slope.flatten(0, -2)
        of_low = slopes @ b
        of_x = (slopes @ weight).addmm_(of_low, a).unflatten(0, slope.shape[:-1])
        return of_x, None, of_low.mT @ rows, slopes.mT @ low


def multiply_at_once(model: nn.Module) -> None:
    """Let the linear maps that PEFT adapted in `model` multiply by `AdaptedProduct`.

    Not in float16, where gradients might vanish.
    """
    for module in model.modules():
        base: Any = getattr(module, "base_layer", None)
        if type(base) in (nn.Linear, Conv1D) and base.weight.dtype != torch.float16:
            module.forward = MethodType(_product, module)  # not a partial: one compiled graph serves all


def _product(layer: Any, x: Float[Tensor, "*place input"]) -> Float[Tensor, "*place output"]:
    base, (name,) = layer.base_layer, layer.active_adapters
    weight = base.weight if isinstance(base, nn.Linear) else base.weight.mT
    low, high = layer.lora_A[name].weight, layer.lora_B[name].weight * layer.scaling[name]
    product: Tensor = AdaptedProduct.apply(x, (weight, base.bias), low, high)
    return product
