"""A steering vector: one direction per layer, plain data with `+ - *`.

Layer `l` is the residual stream after `l` blocks, transformers' `hidden_states[l]`; `1 <= l <=
depth - 1`. `LanguageModel.steer` applies a vector; `agent.updating` finds one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from agent.errors import BasinError


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """Directions by layer, float32 on the CPU, in rising order of the layer.

    Sums run over the union of the layers, a missing layer being zero. Gradients pass through.
    """

    directions: Mapping[int, Float[Tensor, "width"]]

    def __post_init__(self) -> None:
        ordered = {
            layer: self.directions[layer].to("cpu", torch.float32) for layer in sorted(self.directions)
        }
        object.__setattr__(self, "directions", ordered)
        if any(layer < 1 for layer in ordered):
            raise BasinError(
                f"Layer {min(ordered)} of a steering vector is below 1, the stream after one block."
            )
        if len({direction.shape for direction in ordered.values()}) > 1:
            raise BasinError("A steering vector's directions differ in width: take them from one model.")

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(self.directions)

    @property
    def width(self) -> int:
        """The residual stream's dimension, 0 for a vector without layers."""
        return next((len(direction) for direction in self.directions.values()), 0)

    def norms(self) -> dict[int, float]:
        """Euclidean norm by layer, in units of the residual stream."""
        return {layer: float(direction.norm()) for layer, direction in self.directions.items()}

    def tensors(self) -> dict[str, Float[Tensor, "width"]]:
        """Tensors for safetensors: `layer_12` is the direction at layer 12."""
        return {
            f"layer_{layer}": direction.detach().contiguous() for layer, direction in self.directions.items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Float[Tensor, "width"]]) -> SteeringVector:
        """Inverse of `tensors`. Raises `BasinError` for a name other than `layer_` and a number."""
        unknown = [name for name in tensors if not (name.startswith("layer_") and name[6:].isdecimal())]
        if unknown:
            raise BasinError(f"A steering vector's tensors are named layer_1 and so on, not {unknown[0]!r}.")
        return cls({int(name[6:]): tensor for name, tensor in tensors.items()})

    def _map(self, function: Callable[[Tensor], Tensor]) -> SteeringVector:
        return SteeringVector({layer: function(direction) for layer, direction in self.directions.items()})

    def __add__(self, other: SteeringVector) -> SteeringVector:
        if self.width and other.width and self.width != other.width:
            raise BasinError(
                f"Steering vectors of widths {self.width} and {other.width} belong to different models: "
                "add those of one model."
            )
        union = dict(self.directions)
        for layer, direction in other.directions.items():
            union[layer] = union[layer] + direction if layer in union else direction
        return SteeringVector(union)

    def __neg__(self) -> SteeringVector:
        return self * -1.0

    def __sub__(self, other: SteeringVector) -> SteeringVector:
        return self + -other

    def __mul__(self, factor: float) -> SteeringVector:
        return self._map(lambda direction: direction * factor)

    __rmul__ = __mul__
