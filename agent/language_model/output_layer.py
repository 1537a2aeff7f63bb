"""Likelihoods and divergences from final hidden states, a few positions at a time.

A vocabulary of 262,000 words has a megabyte of logits per position. No function here holds more
than `CHUNK_BYTES` of them, forward or backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

ROWS = 64
"""Rows that oneDNN lays the weight out for; from 1 to 4,096 the speed is the same."""


class PackedLinear(nn.Module):
    """Several linear layers of one input, their outputs side by side. Takes no gradient.

    On a CPU, oneDNN rearranges a weight before every product; here it is done once. A product of 32
    rows in bfloat16 then takes 0.6 of the time. Elsewhere the layers are called one by one and
    share their weights.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.layers = tuple(layers)  # a tuple, so that their weights are not this module's
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
    """Whether oneDNN multiplies this format natively; by the operators of torch.compile."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return weight.dtype in (torch.float32, torch.bfloat16) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


CHUNK_BYTES = 400 * 2**20
CPU_ROWS = 128
"""Largest number of positions at a time on a CPU. The allocator reuses arrays of that size; larger
ones are cleared by the system every time, a third of the time of training losses."""
COPIES = 4
"""Float32 arrays of the logits' size alive at once: steered, base, a softmax, its gradient."""


def overflow_remedy(dtype: torch.dtype) -> str:
    """What helps where numbers of a model in this format are not finite, as a clause."""
    if dtype != torch.float32:
        return "steer less, or set language_model.dtype to float32"
    return "steer less, or take another model, since float32 is the widest format"


class OutputLayer:
    """A causal language model's unembedding, with the scaling and soft-capping of its logits."""

    def __init__(self, head: nn.Module, config: Any) -> None:
        self.head = head
        self.vocabulary: int = head.weight.shape[0]
        self.softcap = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies its logits, Granite divides them.
        multiplier, divisor = (
            getattr(config, name, None) or 1.0 for name in ("logit_scale", "logits_scaling")
        )
        self.scale = multiplier / divisor
        self._config = config

    @property
    def chunk(self) -> int:
        """Positions whose logits are held at a time."""
        rows = max(1, CHUNK_BYTES // self._bytes_of_one)
        return min(rows, CPU_ROWS) if self.head.weight.device.type == "cpu" else rows

    @property
    def bytes_at_a_time(self) -> int:
        """Bytes of the logits of a chunk, with all copies."""
        return self.chunk * self._bytes_of_one

    @property
    def _bytes_of_one(self) -> int:
        return 4 * COPIES * self.vocabulary

    def packed(self) -> OutputLayer:
        """The same layer without gradients, with its weight packed."""
        return OutputLayer(PackedLinear([self.head]), self._config)

    def logits(self, states: Float[Tensor, "token width"]) -> Float[Tensor, "token word"]:
        """Float32 logits of final states, after the last norm."""
        return self.finished(self.raw(states).float())

    def raw(self, states: Float[Tensor, "token width"]) -> Float[Tensor, "token word"]:
        """Logits in the model's own format, before `finished`, which keeps their order."""
        return self.head(states)

    def finished(self, logits: Float[Tensor, "token choice"]) -> Float[Tensor, "token choice"]:
        """Scaled and soft-capped logits of any choice of words."""
        logits = logits * self.scale if self.scale != 1 else logits
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def losses(
        self, states: Float[Tensor, "token width"], targets: Int[Tensor, "token"]
    ) -> Float[Tensor, "token"]:
        """Negative log-likelihood of `targets` in nats; differentiable in the states."""
        if torch.is_grad_enabled() and states.requires_grad and not self.head.weight.requires_grad:
            return _Losses.apply(states, targets, self)
        return self._in_chunks(
            lambda part, wanted: nn.functional.cross_entropy(self.logits(part), wanted, reduction="none"),
            states,
            targets,
        )

    def divergences(
        self, steered: Float[Tensor, "token width"], base: Float[Tensor, "token width"]
    ) -> Float[Tensor, "token"]:
        """KL(steered || base) of next-token distributions in nats; differentiable in the states."""

        def kl(ours: Tensor, theirs: Tensor) -> Tensor:
            ours, theirs = self.logits(ours).log_softmax(-1), self.logits(theirs).log_softmax(-1)
            return nn.functional.kl_div(theirs, ours, reduction="none", log_target=True).sum(-1)

        return self._in_chunks(kl, steered, base)

    def _in_chunks(
        self, function: Callable[[Tensor, Tensor], Tensor], states: Tensor, others: Tensor
    ) -> Tensor:
        size = self.chunk
        parts = [
            # Recomputed in the backward pass, which would otherwise keep the logits of all chunks.
            checkpoint(function, *pair, use_reentrant=False) if torch.is_grad_enabled() else function(*pair)
            for pair in zip(states.split(size), others.split(size), strict=True)
        ]
        return torch.cat(parts) if parts else states.new_zeros(0, dtype=torch.float32)


class _Losses(torch.autograd.Function):
    """Losses and their gradients in one pass, so that logits are not kept or recomputed.

    The output layer's weight must be frozen.
    """

    @staticmethod
    def forward(
        context: Any, states: Float[Tensor, "token width"], targets: Int[Tensor, "token"], layer: OutputLayer
    ) -> Float[Tensor, "token"]:
        losses = torch.empty(len(states), device=states.device)
        slopes = torch.empty_like(states)
        # One array for all chunks: the system clears a fresh one of this size every time.
        room = torch.empty(min(layer.chunk, len(states)), layer.vocabulary, device=states.device)
        for begin in range(0, len(states), layer.chunk):
            part = slice(begin, begin + layer.chunk)
            raw, wanted = layer.raw(states[part]), targets[part, None]
            logits = layer.finished(room[: len(raw)].copy_(raw))
            slope = logits if layer.softcap is None else logits.clone()
            chosen, highest = logits.gather(1, wanted)[:, 0], logits.amax(1, keepdim=True)
            total = slope.sub_(highest).exp_().sum(1, keepdim=True)
            losses[part] = (total.log() + highest)[:, 0] - chosen
            slope.div_(total).scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=slope.dtype))
            if layer.softcap is not None:
                slope.mul_(1 - (logits / layer.softcap).square())
            if layer.scale != 1:
                slope.mul_(layer.scale)
            slopes[part] = slope.to(states.dtype) @ layer.head.weight
        context.save_for_backward(slopes)
        return losses

    @staticmethod
    def backward(context: Any, slope: Float[Tensor, "token"]) -> tuple[Tensor, None, None]:
        (slopes,) = context.saved_tensors
        return (slopes * slope[:, None]).to(slopes.dtype), None, None
