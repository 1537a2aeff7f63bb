"""The record of a round, and the interface of watchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from jaxtyping import Float

from agent.concept import Concept
from agent.errors import BasinError
from agent.types import total_seconds

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel

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


def refuse_other_model(run: str, records: Sequence[RoundRecord], language_model: LanguageModel) -> None:
    """Raise `BasinError` for rounds of a model with another width or other layers."""
    own_width, own_layers, depth = language_model.width, len(language_model.layers), language_model.depth
    for record in records:
        concept, vector = record.concept, record.concept.vector
        recorded = [concept.readout.weights] if concept.readout is not None else []
        recorded += [record.activations] if record.activations is not None else []
        shapes = [array.shape[-2:] for array in recorded]
        layers = [f"{count} recorded layers" for count, _ in shapes if count != own_layers]
        widths = [width for _, width in shapes] + ([vector.width] if vector else [])
        if vector is not None and max(vector.layers) >= depth:
            layers.append(f"a vector at layer {max(vector.layers)}")
        wrong = [f"width {width}" for width in widths if width != own_width]
        if layers or wrong:
            own = f"{own_layers} recorded layers of {depth}" if layers else f"width {own_width}"
            raise BasinError(
                f"Round {record.round} of {run} was made with another model ({[*layers, *wrong][0]}) than "
                f"{language_model.config.name!r} ({own}): put the model back that the run was made with."
            )
