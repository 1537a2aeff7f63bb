"""Steering strength from a budget: KL(steered || base) in nats per token."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import torch

from agent.errors import BasinError
from agent.language_model.model import LanguageModel
from agent.steering.vector import SteeringVector

TOLERANCE = 0.02
"""Relative to the budget."""
EVALUATIONS = 40
LARGEST_STEP = 10.0
"""Factor by which the strength moves while only one side of the budget has been seen."""


def calibrate(
    language_model: LanguageModel,
    vector: SteeringVector,
    texts: Sequence[str],
    budget_nats: float,
    max_tokens: int = 64,
) -> tuple[SteeringVector, float]:
    """Scale `vector` so that it spends `budget_nats` per token on `texts`; also the KL reached.

    Raises `BasinError` if no strength reaches the budget.
    """
    batches = list(language_model.batches(texts, max_tokens=max_tokens))
    with torch.no_grad():
        prefixes = [language_model.prefix(batch, vector.layers[0]) for batch in batches]
        base = [language_model.states(batch, prefix) for batch, prefix in zip(batches, prefixes, strict=True)]
    strength, nats = solve_strength(
        lambda strength: language_model.divergence_from(base, batches, strength * vector, prefixes=prefixes),
        budget_nats,
    )
    return strength * vector, nats


def calibration_texts(texts: Sequence[str], count: int) -> list[str]:
    """The texts with the lowest digests, the same in every round."""
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]


def solve_strength(divergence: Callable[[float], float], budget: float) -> tuple[float, float]:
    """The strength at which a rising `divergence` is within 2 % of `budget`; also its value.

    Small strengths diverge by their square (the quadratic form of the Fisher information). The
    search therefore runs on logarithms: extrapolation with slope 2, then interpolation inside the
    bracket.
    """
    below: tuple[float, float] | None = None
    above: tuple[float, float] | None = None
    strength = 1.0
    for evaluation in range(EVALUATIONS):
        nats = divergence(strength)
        if abs(nats - budget) <= TOLERANCE * budget:
            return strength, nats
        # NaN counts as too much: the activations overflowed.
        if nats < budget:
            below = (strength, nats)
        else:
            above = (strength, nats)
        strength = _next_strength(below, above, budget, halve=evaluation % 4 == 3)
    reached = below[1] if below else math.nan
    raise BasinError(
        f"No strength of steering spends {budget} nats per token (nearest below: {reached:.2g}), so the "
        "vector has too little effect on the model: choose other updating.layers or a smaller updating.budget_nats."
    )


def _next_strength(
    below: tuple[float, float] | None, above: tuple[float, float] | None, budget: float, halve: bool
) -> float:
    if below and above:
        (low, less), (high, more) = below, above
        # Plain bisection every fourth time: interpolation converges slowly on some curves.
        if halve or not (less > 0 and math.isfinite(more)):
            return math.sqrt(low * high)
        share = math.log(budget / less) / math.log(more / less)
        return low * math.pow(high / low, min(max(share, 0.02), 0.98))
    strength, nats = below or above or (1.0, budget)
    if not (nats > 0 and math.isfinite(nats)):
        return strength * (LARGEST_STEP if below else 1 / LARGEST_STEP)
    return strength * min(max(math.sqrt(budget / nats), 1 / LARGEST_STEP), LARGEST_STEP)
