"""Experimental: one step of the fused decoder as a CUDA graph, replayed for every token of a batch.

Shapes never change: a step attends to the whole cache behind a mask. Hooks of steering are captured
with the graph, because the tensors they add stay in place. Each batch captures its own graph, at
the cost of about three steps.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from agent.language_model.decoding.fused import FusedDecoder
from agent.language_model.decoding.kv_cache import Reader
from agent.language_model.memory import is_out_of_memory


class StaticReader(Reader):
    """A `Reader` that takes one token at a time after the prompt, in tensors that stay in place."""

    ids: Int[Tensor, "text 1"]
    states: Float[Tensor, "text width"]

    def __init__(self, base: FusedDecoder, depth: int, room: int) -> None:
        super().__init__(base, depth, room)
        self.room = room
        self.graph: torch.cuda.CUDAGraph | None = None
        self.records = False

    def read(
        self, ids: Int[Tensor, "text new"], real: Bool[Tensor, "text seen"]
    ) -> Float[Tensor, "text width"]:
        seen = real.shape[1]
        if seen == ids.shape[1]:
            states = super().read(ids, real)
            self._begin(real)
            return states
        self.ids.copy_(ids)
        self.real[:, seen - 1] = real[:, -1]
        self.place.fill_(seen - 1)
        self.positions.copy_(real.sum(1, keepdim=True) - 1)
        if self.records and self.graph is None:
            self._record()
        if self.graph is None:
            return self._step()
        self.graph.replay()
        return self.states.clone()

    def _begin(self, real: Bool[Tensor, "text seen"]) -> None:
        texts, device = real.shape[0], real.device
        self.ids = torch.zeros(texts, 1, dtype=torch.long, device=device)
        self.positions = torch.zeros_like(self.ids)
        self.place = torch.zeros(1, dtype=torch.long, device=device)
        self.real = torch.zeros(texts, self.room, dtype=torch.bool, device=device)
        self.real[:, : real.shape[1]] = real
        for layer in self.cache.layers:
            layer.clear_rest()
        self.records = device.type == "cuda"

    def _step(self) -> Float[Tensor, "text width"]:
        return self.base(
            input_ids=self.ids,
            attention_mask=self.real,
            position_ids=self.positions,
            cache=self.cache,
            place=self.place,
        ).last_hidden_state[:, -1]

    def _record(self) -> None:
        """Capture a step; if that fails, steps are launched kernel by kernel, with equal results."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(aside):
                for _ in range(2):  # the first runs choose kernels; each writes the same keys and values
                    self._step()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.states = self._step()
            self.graph = graph
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.records = False


def can_be_static(base: object) -> bool:
    """Whether steps can be replayed: no hook counts them, as a gate does."""
    return isinstance(base, FusedDecoder) and not base._forward_pre_hooks
