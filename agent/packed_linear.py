"""Linear layers for reading alone: those that read the same input as one, laid out once as the processor multiplies them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

ROWS = 64
"""Rows that the layout is chosen for; measured from 1 to 4,096 rows it makes no difference."""


class PackedLinear(nn.Module):
    """What several linear layers make of one input, side by side. Takes no gradient.

    On a CPU, oneDNN rearranges a weight before every product; here that is done once (a product of 32 rows in bfloat16
    then takes 0.6 of the time). Elsewhere the layers are called one by one and their weights shared.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.layers = tuple(layers)  # a tuple, so that their weights do not count as this module's
        first = layers[0].weight
        self.bias: Tensor | None = None
        self.packed: Tensor | None = None
        if can_pack(first):
            weight = torch.cat([layer.weight for layer in layers]) if len(layers) > 1 else first
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
            biases = [layer.bias for layer in layers]
            if any(bias is not None for bias in biases):
                self.bias = torch.cat(
                    [
                        layer.weight.new_zeros(len(layer.weight)) if bias is None else bias.detach()
                        for layer, bias in zip(layers, biases, strict=True)
                    ]
                )

    @property
    def weight(self) -> Tensor:
        """The first layer's own weight."""
        return self.layers[0].weight

    def forward(self, inputs: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows out"]:
        if self.packed is not None:
            return torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        outputs = [nn.functional.linear(inputs, layer.weight, layer.bias) for layer in self.layers]
        return torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN is there and multiplies this format natively. The operators are those that torch.compile uses."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return weight.dtype in (torch.float32, torch.bfloat16) and hasattr(torch.ops.mkldnn, "_linear_pointwise")
