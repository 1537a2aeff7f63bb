"""What one round leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from jaxtyping import Float

from agent.basin.tracking import Exchange
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
    """`steered`: from the concept, by its vector, its adapter or both; `base`: by the model alone; `degenerate`: by the
    first vector at a ruinous strength, in round 0 alone."""
    prompt: str
    text: str
    """The continuation, without the prompt."""
    seed: int
    membership: float
    """Of prompt and continuation, under the round's re-clustered concept; in [0, 1]."""
    coherent: bool | None
    """None when coherence was not measured."""
    loss: float | None
    """Under the independent language model, in nats per token."""

    @property
    def whole(self) -> str:
        """Prompt and continuation, as a real passage is read."""
        return f"{self.prompt}{self.text}"


@dataclass(frozen=True)
class RoundRecord:
    """Everything about a round that is kept. Nothing here knows a gold label."""

    round: int
    concept: Concept
    metrics: Metrics
    """Deterministic numbers of the round (drift, agreement, ...); written to round.json byte for byte."""
    generated: tuple[Generated, ...] = ()
    activations: Float[np.ndarray, "text layer width"] | None = None
    """Of `generated`, in order."""
    cost: dict[str, float] = field(default_factory=dict)
    """Seconds per stage, and peak_gb: kept apart from `metrics`, because no two runs agree on them."""
    exchange: Exchange | None = field(default=None, kw_only=True)
    """What changed hands; None in round 0, and in rounds that were stored before it was kept."""

    pruned: bool = field(default=False, kw_only=True)
    """Only numbers and memberships are left of it: what it wrote, and what it wrote with, is gone."""

    def number(self, name: str) -> float:
        """One of its metrics that is a number."""
        return float(cast(float, self.metrics[name]))

    @property
    def seconds(self) -> float:
        """What the whole round took."""
        return total_seconds(self.cost)

    def without_adapter(self) -> RoundRecord:
        """What later rounds and pages need; adapters of many rounds would fill the memory."""
        return replace(self, concept=replace(self.concept, adapter=None))


class Watcher(Protocol):
    """Shows or reports rounds while the loop runs, and changes none."""

    def begin(self, rounds: Sequence[RoundRecord]) -> None:
        """All stored rounds, before the next one."""

    def round_done(self, rounds: Sequence[RoundRecord]) -> None:
        """All rounds, after each new one."""


def typical_samples(generated: Sequence[Generated]) -> list[Generated]:
    """Steered passages that were not found incoherent, by falling membership."""
    readable = [sample for sample in generated if sample.kind == "steered" and sample.coherent is not False]
    return sorted(readable, key=lambda sample: -sample.membership)


def refuse_other_model(run: str, records: Sequence[RoundRecord], language_model: LanguageModel) -> None:
    """Refuse rounds that another model has made, before anything is computed with them.

    Raises:
        BasinError: naming the round, its width or layers, and those of the model.
    """
    for record in records:
        concept = record.concept
        for array in (concept.readout and concept.readout.weights, record.activations):
            if array is not None:
                recorded, width = array.shape[-2:]
                if recorded != len(language_model.layers):
                    raise _refusal(run, record, language_model, f"{recorded} recorded layers", "layers")
                _same_width(run, record, language_model, width)
        if concept.vector is not None:
            _same_width(run, record, language_model, concept.vector.width)
            if max(concept.vector.layers) >= language_model.depth:
                raise _refusal(
                    run, record, language_model, f"a vector at layer {max(concept.vector.layers)}", "layers"
                )


def _same_width(run: str, record: RoundRecord, language_model: LanguageModel, width: int) -> None:
    if width != language_model.width:
        raise _refusal(run, record, language_model, f"width {width}", "width")


def _refusal(run: str, record: RoundRecord, language_model: LanguageModel, has: str, of: str) -> BasinError:
    own = {
        "width": f"width {language_model.width}",
        "layers": f"{len(language_model.layers)} recorded layers of {language_model.depth}",
    }[of]
    return BasinError(
        f"Round {record.round} of {run} was made with another model ({has}) than {language_model.config.name!r} "
        f"({own}): put the model back that the run was made with."
    )
