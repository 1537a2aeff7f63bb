"""The record of a round, and the interface of watchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import numpy as np
from jaxtyping import Float

from agent.concept import Concept
from agent.types import total_seconds

Metrics = dict[str, float | int | bool | str | None]


@dataclass(frozen=True)
class Generated:
    """One generated passage."""

    kind: str
    """`steered`: by the concept's vector or adapter; `base`: by the model alone; `degenerate`: by the
    first vector at an excessive strength, in round 0 only."""
    prompt: str
    text: str
    """The continuation, without the prompt."""
    seed: int
    membership: float
    """Membership of prompt and continuation in the round's re-clustered concept, in [0, 1]."""
    coherent: bool | None
    """None if coherence was not measured."""
    loss: float | None
    """Loss under the independent language model, in nats per token."""

    @property
    def whole(self) -> str:
        """Prompt and continuation."""
        return f"{self.prompt}{self.text}"


@dataclass(frozen=True)
class RoundRecord:
    """Everything that is stored of a round. No gold label enters."""

    round: int
    concept: Concept
    metrics: Metrics
    """Deterministic numbers, such as drift and agreement; the contents of round.json."""
    generated: tuple[Generated, ...] = ()
    activations: Float[np.ndarray, "text layer width"] | None = None
    """Activations of `generated`, in order."""
    cost: dict[str, float] = field(default_factory=dict)
    """Seconds per stage, and peak_gb; apart from `metrics`, since they differ between equal runs."""

    def number(self, name: str) -> float:
        """A metric as a float."""
        return float(cast(float, self.metrics[name]))

    @property
    def seconds(self) -> float:
        """Seconds that the round took."""
        return total_seconds(self.cost)

    def without_adapter(self) -> RoundRecord:
        """The record without its adapter, since those of many rounds would fill the memory."""
        return replace(self, concept=replace(self.concept, adapter=None))


class Watcher(Protocol):
    """Shows or reports rounds while the loop runs."""

    def begin(self, rounds: Sequence[RoundRecord]) -> None:
        """Receive all stored rounds, before the next one."""

    def round_done(self, rounds: Sequence[RoundRecord]) -> None:
        """Receive all rounds, after each new one."""


def typical_samples(generated: Sequence[Generated]) -> list[Generated]:
    """Steered passages without the incoherent ones, by falling membership."""
    readable = [sample for sample in generated if sample.kind == "steered" and sample.coherent is not False]
    return sorted(readable, key=lambda sample: -sample.membership)
