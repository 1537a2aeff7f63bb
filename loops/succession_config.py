"""Who receives the concept after whom, and what a hand-over has to stand."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.handover import By, HandoverConfig
from agent.language_model import LanguageModelConfig
from agent.types import StageConfig


class LinkConfig(StageConfig):
    """One successor."""

    language_model: LanguageModelConfig | None = None
    """None: the predecessor's own, improved. Layers are those that it refines the notion in; maps find their own."""
    improved: Literal["own_adapter", "more_text"] | None = None
    """How the predecessor's model becomes its own successor: with the adapter of its last round, or by reading more of the
    general text."""
    by: By = "both"
    planted: Literal["shuffled_vector", "shuffled_notion"] | None = None
    """Spoil the hand-over on purpose, to see that it is refused."""
    rounds: int | None = Field(None, ge=1)
    """At most; by default as many as the first run."""


class SuccessionConfig(StageConfig):
    """A chain of successors. No run reads it."""

    links: tuple[LinkConfig, ...] = ()
    handover: HandoverConfig = HandoverConfig()
    certificate: bool = True
    """A successor whose last notion is not certified is refused."""
    study: int = Field(480, ge=8)
    """Passages of general text that a model is improved on by `more_text`."""
