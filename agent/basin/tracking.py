"""Is the notion still moving, is it contracting, what changed hands, and has it collapsed?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from agent.concept import MEMBER
from agent.membership.similarity import overlap, soft_jaccard
from agent.types import StageConfig


class TrackingConfig(StageConfig):
    """When a run stops."""

    drift_bound: float = Field(0.02, ge=0, lt=1)
    """The notion counts as still when drift is below this."""
    patience: int = Field(2, ge=1)
    """Rounds in a row that must be still."""
    minimum_rounds: int = Field(4, ge=1)
    minimum_coherence: float = Field(0.5, ge=0)
    """Below this multiple of the base model's share of readable passages the round has collapsed: a small model is not
    always readable either."""
    minimum_size: float = Field(0.01, ge=0, le=1)
    maximum_size: float = Field(0.6, gt=0, le=1)
    """A concept outside these shares of the corpus has collapsed to nothing or to everything."""
    maximum_repetitive: float = Field(0.5, ge=0, le=1)
    """Share of generated passages that may repeat themselves."""


@dataclass(frozen=True)
class Movement:
    """How far the concept moved in one round."""

    drift: float
    """1 - soft Jaccard with the previous round, on the real passages; in [0, 1]."""
    contraction: float | None
    """drift_t / drift_{t-1}; below 1 the round map is contracting. None in the first round or after drift 0."""


@dataclass(frozen=True)
class Exchange:
    """Ids of the passages that changed hands, the largest change of membership first in every list."""

    threw_out: tuple[str, ...]
    """Inside what the topic claimed in round 0, outside the concept."""
    took_in: tuple[str, ...]
    """Outside what the topic claimed, inside the concept."""
    entered: tuple[str, ...]
    """Inside now, outside in the round before."""
    left: tuple[str, ...]
    """Outside now, inside in the round before."""


def drifts(path: Float[np.ndarray, "*over round document"]) -> Float[np.ndarray, "*over step"]:
    """1 - soft Jaccard of every two rounds that follow each other."""
    return 1 - overlap(path[..., 1:, :], path[..., :-1, :])


def movement(
    before: Float[np.ndarray, "passage"], after: Float[np.ndarray, "passage"], previous_drift: float | None
) -> Movement:
    """Drift of this round and its ratio to the drift of the round before."""
    drift = 1 - soft_jaccard(before, after)
    return Movement(drift, drift / previous_drift if previous_drift else None)


def exchanged(
    ids: Sequence[str],
    topic: Float[np.ndarray, "passage"],
    before: Float[np.ndarray, "passage"],
    now: Float[np.ndarray, "passage"],
) -> Exchange:
    """What changed hands between the topic of round 0 and now, and between the round before and now.

    Equal changes stay in the order of the passages. Raises ValueError when the lengths differ.
    """
    if {len(topic), len(before), len(now)} != {len(ids)}:
        raise ValueError(f"memberships of other passages than the {len(ids)} named")
    inside = now >= MEMBER
    claimed, were_inside = topic >= MEMBER, before >= MEMBER
    of_topic, of_last = np.abs(now - topic), np.abs(now - before)
    lists = (
        _ranked(of_topic, claimed & ~inside),
        _ranked(of_topic, inside & ~claimed),
        _ranked(of_last, inside & ~were_inside),
        _ranked(of_last, were_inside & ~inside),
    )
    return Exchange(*(tuple(ids[at] for at in chosen) for chosen in lists))


def _ranked(
    change: Float[np.ndarray, "passage"], where: Bool[np.ndarray, "passage"]
) -> Int[np.ndarray, "chosen"]:
    """Indices where `where` holds, by falling change."""
    chosen = np.flatnonzero(where)
    return chosen[np.argsort(-change[chosen], kind="stable")]


def kept(pointer: Float[np.ndarray, "passage"], concept: Float[np.ndarray, "passage"]) -> float:
    """Share of the pointer's surest passages, as many as make half of its mass, that are still inside; in [0, 1].

    A guard against sliding to a neighbour: what the pointer is surest of must stay in.
    """
    surest = np.argsort(-pointer, kind="stable")
    surest = surest[: int(np.searchsorted(np.cumsum(pointer[surest]), pointer.sum() / 2)) + 1]
    return float((concept[surest] >= np.quantile(concept, 1 - min(pointer.mean(), 1.0))).mean())


def is_still(drifts: Sequence[float], config: TrackingConfig) -> bool:
    """Whether the last `patience` rounds all drifted less than the bound, after `minimum_rounds`."""
    if len(drifts) < max(config.minimum_rounds, config.patience):
        return False
    return all(drift < config.drift_bound for drift in drifts[-config.patience :])


def collapse(
    size: float, coherence: float | None, repetitive: float | None, config: TrackingConfig
) -> str | None:
    """The sentence that says how the run collapsed, or None when it has not.

    Args:
        size: mean membership of the real passages.
        coherence: share of generated passages that read as English, in units of the base model's share; None when
            nothing was generated.
        repetitive: share of generated passages that repeat themselves; None when nothing was generated.
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
