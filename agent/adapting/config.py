"""Settings of adapters and their training, apart from it: reading them must not load the libraries that train."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.types import StageConfig


class LoraConfig(StageConfig):
    """The adapter's shape, and how it is taught by example."""

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
    """How accepted passages are preferred to rejected ones."""

    pairs: int = Field(48, ge=0)
    """Pairs at most in a round; 0 leaves preference training out."""
    beta: float = Field(0.1, gt=0)
    """DPO's weight of the log-ratio to the reference, per nat."""
    learning_rate: float = Field(3e-4, gt=0)
    batch: int = Field(4, ge=1)
    """Pairs in a step."""
    limit_nats: float = Field(0.5, gt=0)
    """Root mean square over tokens of KL(adapted || base) from which the barrier pushes back."""
    barrier: float = Field(1.0, ge=0)
    """Loss at twice the limit; it grows with the square of the excess. 0 leaves the barrier out."""
    barrier_passages: int = Field(2, ge=1)
    """Passages of each step on which the distance is measured."""


class AdaptingConfig(StageConfig):
    """How a round trains its adapter."""

    lora: LoraConfig = LoraConfig()
    preference: PreferenceConfig = PreferenceConfig()
    written_share: float = Field(0.25, ge=0, lt=1)
    """Share of the lesson that is drawn from what was written and accepted; real members are the rest."""
    afresh: bool = True
    """Begin every round at the base model, so that a round's faults are not handed on; else at the last round's adapter."""
