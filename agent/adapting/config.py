"""Settings of adapters and their training, without the slow imports of training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config import StageConfig


class LoraConfig(StageConfig):
    """The adapter's shape, and its supervised training."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    """The low-rank product is multiplied by `alpha / rank`."""
    modules: Literal["attention", "all"] = "attention"
    """Which linear maps of every block are adapted."""
    passages: int = Field(240, ge=1)
    """Texts in one round's lesson; none is drawn more than three times, see `resample`."""
    tokens: int = Field(224, ge=8)
    """Longer texts are cut."""
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(5e-4, gt=0)


class PreferenceConfig(StageConfig):
    """Preference training on accepted and rejected passages."""

    pairs: int = Field(48, ge=0)
    """Largest number of pairs in a round; 0 leaves preference training out."""
    beta: float = Field(0.1, gt=0)
    """DPO's weight of the log-ratio to the reference, per nat."""
    learning_rate: float = Field(3e-4, gt=0)
    batch: int = Field(4, ge=1)
    """Pairs in a step."""
    limit_nats: float = Field(0.5, gt=0)
    """Root mean square over tokens of KL(adapted || base) above which the barrier adds a loss."""
    barrier: float = Field(1.0, ge=0)
    """Loss at twice the limit; it grows with the square of the excess. 0 leaves the barrier out."""
    barrier_passages: int = Field(2, ge=1)
    """Passages of each step on which the distance is measured."""


class AdaptingConfig(StageConfig):
    """How a round trains its adapter."""

    lora: LoraConfig = LoraConfig()
    preference: PreferenceConfig = PreferenceConfig()
    written_share: float = Field(0.25, ge=0, lt=1)
    """Share of accepted generated passages in the lesson; real members are the rest."""
