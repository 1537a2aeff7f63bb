"""How a round changes the model: a steering vector, and from some round on a LoRA adapter.

`mean_difference` proposes a direction, and `calibrate` sets its strength to the budget.
`agent.adapting` trains the adapter; its libraries are slow to load, so it is not imported here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from agent.adapting.config import AdaptingConfig
from agent.config import PathSetting, StageConfig
from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector
from agent.updating.calibration import calibrate, calibration_texts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundUpdate:
    """What one round updates."""

    steer_nats: float | None
    """KL(steered || base) per token that the round's vector spends; None: no vector is found."""
    adapt: bool
    """Whether the round trains an adapter."""


class UpdatingConfig(StageConfig):
    """How the steering vector is found, and how far from the base model it may go."""

    layers: tuple[int, ...] = ()
    """Steered layers, among the recorded ones; empty: all recorded ones."""
    budget_nats: float = Field(0.1, gt=0)
    """KL(steered || base) per token on real text at strength 1. Under the mean difference, SmolLM2
    breaks 16 % of its passages at 0.1, as without steering; 25 % at 0.2 and 28 % at 0.4."""
    calibration_texts: int = Field(12, ge=1)
    calibration_tokens: int = Field(64, ge=2)
    """Each calibration text is cut to this many tokens."""
    start_vector: Annotated[str | None, PathSetting()] = None
    """A control vector (GGUF, of llama.cpp or repeng) for round 0, instead of the mean difference,
    calibrated to `budget_nats`."""
    degenerate: int = Field(16, ge=0)
    """Passages that round 0 generates at `degenerate_nats`. The incoherent ones are negative
    examples in every round; without them the concept drifts to nonsense in the right words."""
    degenerate_nats: float = Field(1.6, gt=0)
    """KL(steered || base) per token of those passages; at 1.6, 17 % stay readable."""
    adapter_from: int | None = Field(None, ge=1)
    """First round that trains a LoRA adapter, used from the next round on; None: never."""
    adapter_nats: float = Field(0.05, ge=0)
    """Budget of steering on top of an adapter, instead of `budget_nats`; 0: the adapter alone."""
    adapting: AdaptingConfig = AdaptingConfig()

    def schedule(self, round_number: int) -> RoundUpdate:
        """A round's update: steering alone, then an adapter with `adapter_nats` of steering."""
        if self.adapter_from is None or round_number < self.adapter_from:
            return RoundUpdate(self.budget_nats, adapt=False)
        return RoundUpdate(self.adapter_nats or None, adapt=True)

    def steered_layers(self, recorded: tuple[int, ...]) -> tuple[int, ...]:
        """The layers to steer. Raises `BasinError` for one that is not recorded."""
        if unknown := sorted(set(self.layers) - set(recorded)):
            raise BasinError(
                f"updating.layers names layers {unknown} that are not recorded; choose among {list(recorded)}, "
                "or add them to language_model.layers."
            )
        return self.layers or recorded


@dataclass(frozen=True)
class Update:
    """A steering vector with the cost of applying it."""

    vector: SteeringVector
    """Scaled so that strength 1.0 spends the budget."""
    nats_per_token: float
    """KL(steered || base) at strength 1.0 on the calibration texts."""


def update(
    language_model: LanguageModel,
    members: Sequence[str],
    others: Sequence[str],
    member_activations: Float[np.ndarray, "member layer width"],
    other_activations: Float[np.ndarray, "other layer width"],
    *,
    config: UpdatingConfig,
    nats: float,
    member_weights: Float[np.ndarray, "member"] | None = None,
    other_weights: Float[np.ndarray, "other"] | None = None,
) -> Update:
    """Find the steering vector from `others` towards `members`, calibrated to `nats` per token.

    Args:
        member_activations, other_activations: `language_model.record` of the same texts.
        member_weights, other_weights: memberships, and one minus them; they enter the mean
            difference.

    Raises:
        BasinError: the groups cannot be told apart, a group is empty, or the model cannot be
            steered.
    """
    direction = mean_difference(
        member_activations,
        other_activations,
        member_weights,
        other_weights,
        recorded=language_model.layers,
        steered=config.steered_layers(language_model.layers),
    )
    texts = calibration_texts([*members, *others], config.calibration_texts)
    return Update(*calibrate(language_model, direction, texts, nats, config.calibration_tokens))


def mean_difference(
    member_activations: Float[np.ndarray, "member layer width"],
    other_activations: Float[np.ndarray, "other layer width"],
    member_weights: Float[np.ndarray, "member"] | None = None,
    other_weights: Float[np.ndarray, "other"] | None = None,
    *,
    recorded: tuple[int, ...],
    steered: tuple[int, ...],
) -> SteeringVector:
    """Weighted mean of members minus that of others (Marks and Tegmark 2310.06824).

    In units of the residual stream. `recorded` names the layers of the activations' second axis, `steered` some of them. Raises
    `BasinError` for an empty group, and groups whose means coincide.
    """
    difference = _mean(member_activations, member_weights, "inside") - _mean(
        other_activations, other_weights, "outside"
    )
    columns = [recorded.index(layer) for layer in steered]
    if not np.abs(difference[columns]).max() > 0:
        raise BasinError(
            "Passages inside and outside the concept have equal activations: take another topic."
        )
    return SteeringVector(
        {
            layer: torch.from_numpy(difference[column].astype(np.float32))
            for layer, column in zip(steered, columns, strict=True)
        }
    )


def _mean(
    activations: Float[np.ndarray, "text layer width"], weights: Float[np.ndarray, "text"] | None, where: str
) -> Float[np.ndarray, "layer width"]:
    weights = np.ones(len(activations)) if weights is None else weights.astype(np.float64)
    if not weights.sum() > 0:
        raise BasinError(f"There are no passages {where} the concept, so there is no direction to steer in.")
    return np.asarray(np.einsum("t,tlw->lw", weights / weights.sum(), activations.astype(np.float64)))
