"""Modes of applying a steering vector: plain addition, norm-preserving, or gated.

Plain addition lengthens the residual stream, and steers a text that is inside already as hard as
any other. The modes are independent of the direction, so `SteeringVector` does not know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from agent.errors import BasinError

PRIOR_TOKENS = 16
"""Weight, in tokens, of the prior that a text is outside: a mean over three tokens says little."""
SMALLEST_NORM = 1e-6
CACHES = ("past_key_values", "cache")
"""Names of the key-value cache, by architecture."""


@dataclass(frozen=True, eq=False)
class Gate:
    """The share of the strength spent on a text, from the projection of its mean activation so far.

    `sigmoid(-(projection - centre) / width)`, which `find_gate` makes the probability that the text
    is outside. It reads the lowest steered layer before the addition.
    """

    layer: int
    direction: Float[Tensor, "width"]
    """Unit vector from outside to inside."""
    outside: float
    """Mean projection of passages outside, in units of the residual stream."""
    centre: float
    """Projection at which half of the strength is spent."""
    width: float
    """Above 0; the projection that multiplies the odds by e."""

    def gate_value(self, projection: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Share of the strength, in [0, 1]: near 1 far outside, near 0 far inside."""
        return torch.sigmoid((self.centre - projection) / self.width)

    def tensors(self) -> dict[str, Float[Tensor, "width"]]:
        """Tensors for safetensors; `numbers` has the rest."""
        return {"direction": self.direction}

    def numbers(self) -> dict[str, float | int]:
        """All fields except the direction, for JSON."""
        return {"layer": self.layer, "outside": self.outside, "centre": self.centre, "width": self.width}


@dataclass(frozen=True, eq=False)
class SteeringMode:
    """How a vector is applied; at strength 0 every mode is the base model, to the bit."""

    norm_preserving: bool = False
    """Every position's residual is scaled back to its length before the addition."""
    gate: Gate | None = None

    @property
    def is_plain(self) -> bool:
        return not self.norm_preserving and self.gate is None


PLAIN = SteeringMode()


def find_gate(
    member_activations: Float[np.ndarray, "member layer width"],
    other_activations: Float[np.ndarray, "other layer width"],
    *,
    recorded: tuple[int, ...],
    layer: int,
) -> Gate:
    """The gate at `layer`: one minus the posterior of Fisher's linear discriminant (1936).

    Along the difference of the groups' means, with a common variance s^2 and equal priors, the log-
    odds of inside are `(projection - midpoint) (inside - outside) / s^2`. Overlapping groups give a
    nearly constant gate. Neither group may be empty. Raises `BasinError` if the means coincide.
    """
    column = recorded.index(layer)
    groups = [each[:, column].astype(np.float64) for each in (member_activations, other_activations)]
    difference = groups[0].mean(0) - groups[1].mean(0)
    length = float(np.linalg.norm(difference))
    if not length > 0:
        raise BasinError(
            "Passages inside and outside the concept have equal activations: take another topic, or steer "
            "without updating.conditional."
        )
    direction = difference / length
    inside, outside = (float((group @ direction).mean()) for group in groups)
    spread = np.concatenate([group @ direction - (group @ direction).mean() for group in groups])
    # A single passage per side has no spread, so the gap is the scale.
    variance = float(np.mean(spread**2)) or length**2
    return Gate(
        layer,
        torch.from_numpy(direction.astype(np.float32)),
        outside,
        (inside + outside) / 2,
        variance / (inside - outside),
    )


class TextSoFar:
    """The gate at every position, with running means kept over the steps of a generation.

    With a key-value cache, a step has one position, but its attention mask covers the cached ones
    too. A mask as long as the step starts new texts.
    """

    def __init__(self, gate: Gate, device: torch.device) -> None:
        self.gate = gate
        self.direction = gate.direction.to(device)
        self.mask: Int[Tensor, "text seen"] | None = None
        self.cached = 0
        self.total: Float[Tensor, "text 1"] | float = 0.0
        self.count: Int[Tensor, "text 1"] | int = 0

    def begin(self, options: Mapping[str, Any]) -> None:
        """Start a forward pass from its named arguments, before any block runs."""
        self.mask = options.get("attention_mask")
        caches = [options[name] for name in CACHES if options.get(name) is not None]
        self.cached = caches[0].get_seq_length() if caches else 0

    @torch.no_grad()
    def gate_value(self, stream: Float[Tensor, "text token width"]) -> Float[Tensor, "text token"]:
        """The gate at each position, from the text up to and including it."""
        shown = stream.shape[1]
        # transformers omits a mask without padding.
        whole = (stream.shape[0], self.cached + shown)
        mask = torch.ones(whole, device=stream.device) if self.mask is None else self.mask.to(stream.device)
        if mask.shape[1] == shown:
            self.total, self.count = 0.0, 0
        # The first position is an attention sink, see `TokenBatch.pooled`.
        counted = (mask.bool() & (mask.cumsum(1) > 1))[:, -shown:]
        projections = (stream.float() @ self.direction).masked_fill(~counted, 0.0)
        totals, counts = self.total + projections.cumsum(1), self.count + counted.cumsum(1)
        self.total, self.count = totals[:, -1:], counts[:, -1:]
        return self.gate.gate_value((totals + PRIOR_TOKENS * self.gate.outside) / (counts + PRIOR_TOKENS))


def shifted(
    stream: Float[Tensor, "text token width"],
    shift: Float[Tensor, "*rows width"],
    gate_value: Float[Tensor, "text token"] | None,
    norm_preserving: bool,
) -> Float[Tensor, "text token width"]:
    """The stream plus `gate_value * shift`, scaled back to its length if `norm_preserving`.

    `shift` is one row for all texts, or [text, 1, width].
    """
    if gate_value is not None:
        shift = gate_value[..., None].to(shift.dtype) * shift
    moved = stream + shift
    if not norm_preserving:
        return moved
    # In float32: a bfloat16 norm is off by up to half a percent at every layer.
    before, after = (each.float().norm(dim=-1, keepdim=True) for each in (stream, moved))
    return (moved.float() * (before / after.clamp(min=SMALLEST_NORM))).to(stream.dtype)
