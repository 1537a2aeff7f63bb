"""Reading and steering the residual stream: the only file that touches hooks.

Layer `l` is the residual stream after `l` blocks, transformers' `hidden_states[l]`; `1 <= l <=
depth - 1`. Steering at `l` adds to the output of block `l - 1`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from agent.errors import BasinError
from agent.language_model.architecture import base_of, decoder_blocks, rotation_limit
from agent.language_model.decoding.fused import FusedDecoder, fused
from agent.language_model.output_layer import OutputLayer, overflow_remedy
from agent.language_model.token_batches import TokenBatch
from agent.steering.vector import SteeringVector

Vectors = SteeringVector | None | Sequence[SteeringVector | None]
"""One vector for all texts of a batch, or one each; None steers nothing."""
Strengths = float | Sequence[float]


@dataclass(frozen=True)
class Prefix:
    """The part of a forward pass below the lowest steered layer, which steering does not change."""

    layer: int
    output: Any
    """Output of the block below `layer`: a tensor or a tuple, by architecture."""


class HookedModel:
    """A frozen transformers model. Its weights take no gradient; steering vectors may.

    Args:
        name: the model's name in messages.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.name = name
        self.rotation_limit = rotation_limit(model)
        self.blocks = decoder_blocks(model)
        self.depth = len(self.blocks)
        self.width: int = model.config.get_text_config().hidden_size
        self.output = OutputLayer(model.get_output_embeddings(), model.config.get_text_config())

    @property
    def device(self) -> torch.device:
        """Device of tokens, final states and scores."""
        return self.output.head.weight.device

    @property
    def overflow_remedy(self) -> str:
        """What helps where this model's numbers overflow."""
        return overflow_remedy(self.output.head.weight.dtype)

    def device_of(self, layer: int) -> torch.device:
        """Device of the block whose output is the residual stream at this layer."""
        return next(self.blocks[layer - 1].parameters()).device

    @cached_property
    def fused(self) -> FusedDecoder | None:
        """The decoder that reads and generates without gradients, if the architecture can be fused."""
        decoder: FusedDecoder | None = fused(base_of(self.model), self.blocks)
        return decoder

    @contextlib.contextmanager
    def steer(self, vector: Vectors, strength: Strengths = 1.0) -> Iterator[None]:
        """Add `strength * vector` to the residual stream while the context is open.

        With several vectors or strengths, each text of a batch has its own, in order. Raises
        `BasinError` if a vector is of another width or depth.
        """
        vectors = [SteeringVector({}) if each is None else each for each in _listed(vector)]
        self._check_vectors(vectors)

        def adder(shift: Tensor) -> Callable[..., Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                stream = _stream(output) + shift
                return (stream, *output[1:]) if isinstance(output, tuple) else stream

            return hook

        shifts = self._shifts(vectors, _listed(strength))
        with self._hooked({layer: adder(shift) for layer, shift in shifts.items()}):
            yield

    def prefix(self, batch: TokenBatch, layer: int) -> Prefix:
        """Output of the blocks below `layer`, for running the rest of the model several times."""
        outputs: list[Any] = []

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs.append(output)
            raise _LastLayerReached

        with torch.no_grad(), self._hooked({layer: hook}), contextlib.suppress(_LastLayerReached):
            self.states(batch)
        return Prefix(layer, outputs[0])

    def states(self, batch: TokenBatch, prefix: Prefix | None = None) -> Float[Tensor, "text token width"]:
        """Final states after the last norm, the input of `output`; differentiable in a vector."""
        with self._resumed(prefix):
            states: Tensor = base_of(self.model)(
                input_ids=batch.ids,
                attention_mask=batch.real.long(),
                position_ids=batch.positions,
                use_cache=False,
            ).last_hidden_state
        return states.to(self.device)

    def read(self, batch: TokenBatch) -> Float[Tensor, "text token width"]:
        """`states` without gradients, by the fused decoder if there is one."""
        if self.fused is None:
            return self.states(batch)
        return self.fused(
            input_ids=batch.ids, attention_mask=batch.real.long(), position_ids=batch.positions
        ).last_hidden_state

    def read_layers(
        self, batch: TokenBatch, layers: Sequence[int], take: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        """`take` of the residual stream at rising layers; computes nothing above the last."""
        taken: dict[int, Tensor] = {}

        def reader(layer: int) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                taken[layer] = take(_stream(output).to(self.device))
                if layer == layers[-1]:
                    raise _LastLayerReached

            return hook

        hooks = {layer: reader(layer) for layer in layers}
        with self._hooked(hooks), contextlib.suppress(_LastLayerReached):
            self.read(batch)
        return [taken[layer] for layer in layers]

    def _check_vectors(self, vectors: Sequence[SteeringVector]) -> None:
        for each in vectors:
            if each.width not in (0, self.width) or max(each.layers, default=0) >= self.depth:
                raise BasinError(
                    f"A steering vector of width {each.width} for layers {list(each.layers)} does not fit "
                    f"{self.name!r} (width {self.width}, layers 1 to {self.depth - 1}): make one for it."
                )

    def _shifts(
        self, vectors: list[SteeringVector], strengths: list[float]
    ) -> dict[int, Float[Tensor, "..."]]:
        """The addition at each layer, in the model's own format: one row, or one for every text."""
        dtype = self.output.head.weight.dtype
        if len(vectors) == len(strengths) == 1:
            return {
                layer: (strengths[0] * each).to(self.device_of(layer), dtype)
                for layer, each in vectors[0].directions.items()
            }
        rows = max(len(vectors), len(strengths))
        if {len(vectors), len(strengths)} - {1, rows}:
            raise BasinError(
                f"{len(vectors)} steering vectors and {len(strengths)} strengths do not pair up: give one per text."
            )
        vectors, strengths = vectors * (rows // len(vectors)), strengths * (rows // len(strengths))
        nothing = torch.zeros(self.width)
        return {
            layer: torch.stack(
                [
                    strength * each.directions.get(layer, nothing)
                    for each, strength in zip(vectors, strengths, strict=True)
                ]
            ).to(self.device_of(layer), dtype)[:, None]
            for layer in sorted({layer for vector in vectors for layer in vector.layers})
        }

    @contextlib.contextmanager
    def _hooked(self, hooks: Mapping[int, Callable[..., Any]]) -> Iterator[None]:
        # The fused decoder is made first: it is compared with the model while nothing is hooked.
        stacks = [self.blocks, *([] if self.fused is None else [self.fused.blocks])]
        with contextlib.ExitStack() as stack:
            for layer, hook in hooks.items():
                for blocks in stacks:
                    stack.callback(blocks[layer - 1].register_forward_hook(hook).remove)
            yield

    @contextlib.contextmanager
    def _resumed(self, prefix: Prefix | None) -> Iterator[None]:
        """Blocks below the prefix's layer return its output instead of running."""
        if prefix is None:
            yield
            return
        skipped = self.blocks[: prefix.layer]
        own = [vars(block).get("forward") for block in skipped]  # accelerate sets one on several devices
        for block in skipped:
            block.forward = lambda *_args, **_options: prefix.output
        try:
            yield
        finally:
            for block, forward in zip(skipped, own, strict=True):
                del block.forward
                if forward is not None:
                    block.forward = forward


class _LastLayerReached(Exception):
    """Ends a forward pass above the last layer that is read."""


def _listed(each: Any) -> list[Any]:
    return list(each) if isinstance(each, Sequence) else [each]


def _stream(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
