"""How the language model is made to write the concept, one file per method.

Add a way to steer: a file here and a name in `UpdatingConfig.method`. Every one proposes a vector; `calibrate` then sets its
strength to the stated budget, so they compare at equal distance from the base model. From the round `adapter_from` on,
`adapting.py` trains an adapter (`lora.py` by example, `preference.py` by choice, `expert.py` what from); it is not imported
here, because the libraries that train are slow to load.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from agent.adapting.config import AdaptingConfig
from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.steering.gate import PLAIN, SteeringMode, find_gate
from agent.steering.vector import SteeringVector
from agent.types import StageConfig
from agent.updating.calibration import calibrate
from agent.updating.mean_difference import mean_difference
from agent.updating.optimised import OptimisedConfig, optimise

logger = logging.getLogger(__name__)


class UpdatingConfig(StageConfig):
    """How the steering vector is found, and how far from the base model it may go."""

    method: Literal["mean_difference", "optimised"] = "mean_difference"
    layers: tuple[int, ...] = ()
    """Steered layers, among the recorded ones; empty: all recorded ones."""
    budget_nats: float = Field(0.1, gt=0)
    """KL(steered || base) per token on real text that strength 1 is calibrated to. Of 32 passages by SmolLM2
    under the mean difference, 16 % were broken at 0.1, as many as unsteered; 25 % at 0.2 and 28 % at 0.4."""
    calibration_texts: int = Field(12, ge=1)
    calibration_tokens: int = Field(64, ge=2)
    """Each calibration text is cut to this many tokens."""
    norm_preserving: bool = False
    """Turn the residual stream and do not stretch it, see `agent.steering.gate`."""
    conditional: bool = False
    """Steer less where the text is inside already, by a gate found on the real passages."""
    optimised: OptimisedConfig = OptimisedConfig()
    start_vector: str | None = None
    """A control vector (GGUF, of llama.cpp or repeng) that round 0 writes with instead of the mean difference, at the strength
    that spends `budget_nats`; `optimised` sets out from it where it has the steered layers."""
    degenerate: int = Field(16, ge=0)
    """Passages that round 0 writes at `degenerate_nats`; those that come out incoherent are taught as outside in every
    round. Without them a concept is fooled by its own generator: nonsense in the right words was its favourite."""
    degenerate_nats: float = Field(1.6, gt=0)
    """Strength at which hardly anything stays readable; at 1.6, 17 % did."""
    adapter_from: int | None = Field(None, ge=1)
    """Round from which a LoRA adapter is trained, and written with in the next one; earlier rounds steer. None: never."""
    adapter_nats: float = Field(0.05, ge=0)
    """What is spent on steering the adapted model besides, instead of `budget_nats`; 0: the adapter writes alone."""
    adapting: AdaptingConfig = AdaptingConfig()

    def adapts(self, round_number: int) -> bool:
        """Whether this round trains an adapter."""
        return self.adapter_from is not None and round_number >= self.adapter_from

    def steers(self, round_number: int) -> UpdatingConfig | None:
        """How this round finds its vector; None where its adapter is to write alone."""
        if not self.adapts(round_number):
            return self
        return self.model_copy(update={"budget_nats": self.adapter_nats}) if self.adapter_nats else None

    def steered(self, recorded: tuple[int, ...]) -> tuple[int, ...]:
        """The layers to steer, among the recorded ones. Raises `BasinError` for one that is not recorded."""
        if strange := sorted(set(self.layers) - set(recorded)):
            raise BasinError(
                f"updating.layers names layers {strange} that are not recorded; choose among {list(recorded)}, "
                "or add them to language_model.layers."
            )
        return self.layers or recorded


@dataclass(frozen=True)
class Update:
    """What a method found, and what it cost to find."""

    vector: SteeringVector
    """Scaled so that strength 1.0 spends the budget."""
    nats_per_token: float
    """KL(steered || base) at strength 1.0 on the calibration texts."""
    mode: SteeringMode = PLAIN
    """How the vector is to be applied: as it was calibrated."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row per optimisation step; empty for a method that takes none."""


def update(
    language_model: LanguageModel,
    members: Sequence[str],
    others: Sequence[str],
    member_activations: Float[np.ndarray, "member layer width"],
    other_activations: Float[np.ndarray, "other layer width"],
    *,
    config: UpdatingConfig,
    seed: int,
    member_weights: Float[np.ndarray, "member"] | None = None,
    other_weights: Float[np.ndarray, "other"] | None = None,
    start: SteeringVector | None = None,
) -> Update:
    """Find the steering vector from `others` towards `members`, calibrated to `config.budget_nats`.

    Activations are `language_model.record` of the same texts; weights (memberships, and one minus them) enter
    the mean difference. `start`, usually the last round's vector, is where `optimised` sets out from; without
    one it sets out from the mean difference, near which it is kept in any case. Raises `BasinError` where the two
    groups cannot be told apart, a group is empty, or the model cannot be steered.
    """
    direction = mean_difference(
        member_activations,
        other_activations,
        member_weights,
        other_weights,
        recorded=language_model.layers,
        steered=config.steered(language_model.layers),
    )
    gate = None
    if config.conditional:
        recorded, lowest = language_model.layers, direction.layers[0]
        gate = find_gate(member_activations, other_activations, recorded=recorded, layer=lowest)
    mode = SteeringMode(config.norm_preserving, gate)
    ruler = calibration_texts([*members, *others], config.calibration_texts)

    def calibrated(vector: SteeringVector) -> tuple[SteeringVector, float]:
        return calibrate(
            language_model, vector, ruler, config.budget_nats, config.calibration_tokens, mode=mode
        )

    if config.method == "mean_difference":
        return Update(*calibrated(direction), mode)
    logger.info("update: calibrating the mean difference that the vector is kept near")
    anchor, _ = calibrated(direction)
    if start is None or start.layers != direction.layers:
        start = anchor
    vector, history = optimise(
        language_model,
        members,
        others,
        start,
        config.optimised,
        config.budget_nats,
        seed,
        mode=mode,
        anchor=anchor,
    )
    return Update(*calibrated(vector), mode, history)


def calibration_texts(texts: Sequence[str], count: int) -> list[str]:
    # By digest: the same texts every round, however passages move between members and others.
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]
