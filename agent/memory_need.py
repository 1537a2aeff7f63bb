"""How much memory reading, writing and teaching take at their peak, from a model's configuration: to a factor of 1.5.

Batches are cut to what fits into half of the machine's memory. Of all its memory, not of what is free: so a machine always
decides alike, and results stay the same to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from agent.memory import total_memory
from agent.output_layer import OutputLayer

PROCESS = 0.7e9
"""Bytes of Python with the libraries loaded."""
SHARE = 0.5
"""Of the memory there is, for the work in hand."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes beyond the weights, by what is done."""

    weights: int
    """Bytes of the model, once more where they are packed."""
    width: int
    inner: int
    heads: int
    """Width of keys and values of one layer together."""
    depth: int
    vocabulary: int
    losses: int
    """Bytes of the logits held at a time where texts are scored."""
    itemsize: int

    @classmethod
    def of(cls, model: Any) -> MemoryNeed:
        """Of a transformers model."""
        config = model.config.get_text_config()
        width = config.hidden_size
        queries = getattr(config, "num_attention_heads", None) or 1  # a model without attention has no heads
        one = getattr(config, "head_dim", None) or width // queries
        head = model.get_output_embeddings()
        inner = next(
            (
                size
                for name in ("intermediate_size", "ffn_dim", "n_inner")
                if (size := getattr(config, name, None))
            ),
            4 * width,
        )
        return cls(
            weights=sum(each.nbytes for each in model.parameters()),
            width=width,
            inner=inner,
            heads=2 * one * (getattr(config, "num_key_value_heads", None) or queries),
            depth=config.num_hidden_layers,
            vocabulary=head.weight.shape[0],
            losses=OutputLayer(head, config).bytes_at_a_time,
            itemsize=head.weight.dtype.itemsize,
        )

    def reading(self, tokens: int) -> int:
        """A batch of so many tokens: the residual stream, its norms in float32, the perceptron's inside."""
        return tokens * ((4 * self.width + 4 * self.inner) * self.itemsize + 8 * self.width)

    def writing(self, texts: int, length: int) -> int:
        """So many texts of that length, prompts with them: keys and values, and one row of scores each."""
        cache = length * self.depth * self.heads * self.itemsize
        return texts * (cache + 2 * self.vocabulary * (self.itemsize + 1))

    def teaching(self, tokens: int) -> int:
        """A step over so many tokens, whose activations all stay for the way back."""
        layer = (10 * self.width + 4 * self.inner) * self.itemsize + 12 * self.width
        if self.itemsize < 4:
            layer += 16 * self.width  # attention in float32, see `agent/updating/number_formats.py`
        return tokens * self.depth * layer + self.losses


def memory_at_hand(device: torch.device) -> int:
    """Bytes that the work in hand may take on this device."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.get_device_properties(device).total_memory)
    return int(SHARE * total_memory())


def most(need_of_one: int, wanted: int, room: int) -> int:
    """How many of `wanted` fit, each of which needs so much; at least one."""
    return max(1, min(wanted, room // max(need_of_one, 1)))
