"""Reading a text token by token: the base model of transformers with a cache that has its room from the start."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer, written where there is room for them instead of being copied at every token.

    Layers with a sliding window keep everything too: the mask says what they see.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0
        self.all_keys: Tensor | None = None
        self.all_values: Tensor | None = None

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

    def get_seq_length(self) -> int:
        return self.length


class Reader:
    """Hands tokens to a model and gets its last state after the last norm, remembering what went before.

    Args:
        base: called as transformers calls a base model.
    """

    def __init__(self, base: Callable[..., Any], depth: int, room: int) -> None:
        self.base = base
        self.cache = Cache(layers=[RoomyLayer(room) for _ in range(depth)])
        # Renamed between versions of transformers, one architecture after the other.
        forward = inspect.signature(getattr(base, "forward", base)).parameters
        self.cache_name = "cache" if "cache" in forward else "past_key_values"

    def read(
        self,
        ids: Int[Tensor, "text new"],
        real: Bool[Tensor, "text seen"],
    ) -> Float[Tensor, "text width"]:
        """States at the last of the new tokens; `real` says of all tokens so far which are not padding."""
        positions = (real.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        states = self.base(
            input_ids=ids,
            attention_mask=real.long(),
            position_ids=positions,
            use_cache=True,
            **{self.cache_name: self.cache},
        ).last_hidden_state
        # Laid out anew: given a slice of a longer tensor, torch would multiply by a copy of the output layer for every text.
        return states[:, -1].contiguous()
