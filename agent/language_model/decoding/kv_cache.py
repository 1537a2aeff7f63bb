"""Reading a text token by token, with a key-value cache whose memory is allocated once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from agent.language_model.memory import is_out_of_memory


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, written in place instead of copied at every token.

    Layers with a sliding window keep all tokens too: the mask limits what they attend to.
    """

    all_keys: Tensor
    all_values: Tensor

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (*key_states.shape[:2], self.room)
        self.all_keys = key_states.new_empty(*shape, key_states.shape[-1])
        self.all_values = value_states.new_empty(*shape, value_states.shape[-1])
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_options: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin, self.length = self.length, self.length + key_states.shape[2]
        self.all_keys[:, :, begin : self.length] = key_states
        self.all_values[:, :, begin : self.length] = value_states
        self.keys, self.values = self.all_keys[:, :, : self.length], self.all_values[:, :, : self.length]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Int[Tensor, "text"]) -> None:
        """Put a copy of text `beam_idx[i]` in place i."""
        if self.length:
            rows = beam_idx.to(self.device)
            self.all_keys, self.all_values = self.all_keys[rows], self.all_values[rows]

    def get_seq_length(self) -> int:
        return self.length


def empty_cache(depth: int, room: int) -> Cache:
    """A cache of `depth` layers with room for `room` tokens per text."""
    return Cache(layers=[RoomyLayer(room) for _ in range(depth)])


class Reader:
    """Reads new tokens of a batch of texts, with a cache of the earlier ones.

    Args:
        base: called as transformers calls a base model.
    """

    def __init__(self, base: Callable[..., Any], depth: int, room: int) -> None:
        self.base = base
        self.cache = empty_cache(depth, room)
        # Its name differs between versions of transformers, and between architectures.
        forward = inspect.signature(getattr(base, "forward", base)).parameters
        self.cache_name = "cache" if "cache" in forward else "past_key_values"

    def read(
        self, ids: Int[Tensor, "text new"], real: Bool[Tensor, "text seen"]
    ) -> Float[Tensor, "text width"]:
        """Final states at the last new token; `real` marks tokens so far without padding."""
        positions = (real.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        states = self.base(
            input_ids=ids,
            attention_mask=real.long(),
            position_ids=positions,
            use_cache=True,
            **{self.cache_name: self.cache},
        ).last_hidden_state
        # Contiguous: for a slice, torch multiplies by a copy of the output layer for every text.
        return states[:, -1].contiguous()


@torch.no_grad()
def reads_token_by_token(base: Any, depth: int) -> bool:
    """Whether the model's memory is keys and values: a text read in two parts gives the same state."""
    ids = torch.tensor([[5, 4, 3, 6, 7, 8]], device=base.device) % base.get_input_embeddings().weight.shape[0]
    real = torch.ones_like(ids, dtype=torch.bool)
    try:
        whole = Reader(base, depth, 6).read(ids, real)
        reader = Reader(base, depth, 6)
        reader.read(ids[:, :5], real[:, :5])
        parted = reader.read(ids[:, 5:], real)
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
        return is_out_of_memory(error)  # generating itself will then use smaller batches
    apart = (parted - whole).float().norm() / whole.float().norm()
    return bool(reader.cache.get_seq_length() == 6 and apart < 0.1)
