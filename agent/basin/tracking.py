"""Tracking of a run: drift, contraction, exchanged passages, the stopping rule and collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from agent.concept import MEMBER
from agent.config import StageConfig
from agent.membership.similarity import overlap, soft_jaccard


class TrackingConfig(StageConfig):
    """When a run stops."""

    drift_bound: float = Field(0.02, ge=0, lt=1)
    """The concept counts as still when drift is below this."""
    patience: int = Field(2, ge=1)
    """Rounds in a row that must be still."""
    minimum_rounds: int = Field(4, ge=1)
    minimum_coherence: float = Field(0.5, ge=0)
    """Least share of coherent passages, as a multiple of the base model's."""
    minimum_size: float = Field(0.01, ge=0, le=1)
    maximum_size: float = Field(0.6, gt=0, le=1)
    """Bounds of the concept's share of the corpus; outside them the run has collapsed."""
    maximum_repetitive: float = Field(0.5, ge=0, le=1)
    """Largest share of repetitive generated passages."""


@dataclass(frozen=True)
class Movement:
    """How far the concept moved in one round."""

    drift: float
    """1 - soft Jaccard with the previous round, on the real passages."""
    contraction: float | None
    """drift_t / drift_{t-1}, below 1 where the map contracts; None in round 1 or after drift 0."""


@dataclass(frozen=True)
class Exchange:
    """Indices of the passages that changed sides, the largest change of membership first."""

    threw_out: list[int]
    """Inside the topic of round 0, outside the concept."""
    took_in: list[int]
    """Outside the topic, inside the concept."""
    entered: list[int]
    """Inside now, outside in the round before."""
    left: list[int]
    """Outside now, inside in the round before."""


def drifts(path: Float[np.ndarray, "*over round document"]) -> Float[np.ndarray, "*over step"]:
    """1 - soft Jaccard of every two consecutive rounds."""
    return 1 - overlap(path[..., 1:, :], path[..., :-1, :])


def movement(
    before: Float[np.ndarray, "passage"], after: Float[np.ndarray, "passage"], previous_drift: float | None
) -> Movement:
    """Drift of this round and its ratio to the drift of the round before."""
    drift = 1 - soft_jaccard(before, after)
    return Movement(drift, drift / previous_drift if previous_drift else None)


def exchanged(
    topic: Float[np.ndarray, "passage"],
    before: Float[np.ndarray, "passage"],
    now: Float[np.ndarray, "passage"],
) -> Exchange:
    """Passages that changed sides since round 0, and since the round before.

    Equal changes stay in the order of the passages.
    """
    inside = now >= MEMBER
    claimed, were_inside = topic >= MEMBER, before >= MEMBER
    of_topic, of_last = np.abs(now - topic), np.abs(now - before)
    return Exchange(
        threw_out=_ranked(of_topic, claimed & ~inside),
        took_in=_ranked(of_topic, inside & ~claimed),
        entered=_ranked(of_last, inside & ~were_inside),
        left=_ranked(of_last, were_inside & ~inside),
    )


def _ranked(change: Float[np.ndarray, "passage"], where: Bool[np.ndarray, "passage"]) -> list[int]:
    """Indices where `where` holds, by falling change."""
    chosen = np.flatnonzero(where)
    found: list[int] = chosen[np.argsort(-change[chosen], kind="stable")].tolist()
    return found


def is_still(drifts: Sequence[float], config: TrackingConfig) -> bool:
    """Whether the last `patience` rounds drifted less than the bound."""
    if len(drifts) < max(config.minimum_rounds, config.patience):
        return False
    return all(drift < config.drift_bound for drift in drifts[-config.patience :])


def collapse(
    size: float, coherence: float | None, repetitive: float | None, config: TrackingConfig
) -> str | None:
    """How the run collapsed, as a clause, or None where it has not.

    Args:
        size: mean membership of the real passages.
        coherence: share of coherent generated passages, over the base model's share; None without
            any.
        repetitive: share of repetitive generated passages; None without any.
    """
    if not np.isfinite(size):
        return "the membership is not a number"
    if size < config.minimum_size:
        return f"the concept holds only {size:.1%} of the passages (tracking.minimum_size {config.minimum_size:.1%})"
    if size > config.maximum_size:
        return (
            f"the concept holds {size:.1%} of the passages (tracking.maximum_size {config.maximum_size:.1%})"
        )
    if repetitive is not None and repetitive > config.maximum_repetitive:
        return f"{repetitive:.0%} of the generated passages repeat themselves"
    if coherence is not None and coherence < config.minimum_coherence:
        return f"what it writes is readable {coherence:.0%} as often as the base model's; the steering is too strong"
    return None
