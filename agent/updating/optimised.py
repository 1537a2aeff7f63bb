"""Steering vectors at several layers, found by gradient ascent on the cluster itself.

The objective is a preference between real passages, without a reward model: a member should gain more
likelihood from steering than a non-member does (direct preference optimisation, Rafailov et al. 2305.18290,
with the base model as reference; for steering vectors Cao et al. 2406.00045). The distance from the base
model is bounded by a penalty on KL(steered || base) above the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from agent.errors import BasinError
from agent.language_model import LanguageModel, Prefix
from agent.steering_manner import PLAIN, Manner
from agent.steering_vector import SteeringVector
from agent.token_batches import TokenBatch
from agent.types import StageConfig


class OptimisedConfig(StageConfig):
    """Settings of the ascent."""

    steps: int = Field(10, ge=1)
    passages: int = Field(60, ge=1)
    """Members, and as many others, that the vector is fitted on; drawn by the seed. Fewer than
    `steps * batch` are met again and again, and then it is they that are learnt rather than the concept."""
    batch: int = Field(6, ge=1)
    """Members, and as many others, per step."""
    tokens: int = Field(80, ge=8)
    """Passages are cut to this length."""
    beta: float = Field(0.1, gt=0)
    """Per nat of preference; small values weigh all passages alike, large ones those not yet preferred."""
    learning_rate: float = Field(0.1, gt=0)
    """Adam's step per coordinate, in units of the starting vector's root mean square at its layer."""
    penalty: float = Field(10.0, ge=0)
    """Per nat of KL per token above the budget, in units of the loss."""


@dataclass(frozen=True)
class _Step:
    """A batch of passages with all that the frozen base model says about it."""

    batches: list[TokenBatch]
    prefixes: list[Prefix]
    states: list[Float[Tensor, "_text _token width"]]
    losses: list[Float[Tensor, "_text _token"]]
    order: list[int]
    members: int


def optimise(
    language_model: LanguageModel,
    members: Sequence[str],
    others: Sequence[str],
    start: SteeringVector,
    config: OptimisedConfig,
    budget_nats: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
    manner: Manner = PLAIN,
) -> tuple[SteeringVector, list[dict[str, float]]]:
    """The vector after `config.steps` steps from `start`, not yet calibrated, and what each step measured.

    A history row: `loss`, `preference` (share of pairs in which the member gained more), `margin` and
    `member_gain` (nats per token, steered minus base), `nats_per_token` (KL on these passages). Deterministic
    given the seed. Raises `BasinError` where a group is empty.
    """
    if not members or not others:
        raise BasinError(
            "Steering needs passages inside and outside the concept, and one of the two has none."
        )
    steps = _draw(members, others, config, seed)
    leaves = {layer: each.clone().requires_grad_() for layer, each in start.directions.items()}
    groups = [
        {"params": [leaf], "lr": config.learning_rate * float(leaf.detach().square().mean().sqrt())}
        for leaf in leaves.values()
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    known: dict[int, _Step] = {}
    history = []
    for number in range(config.steps):
        index = number % len(steps)
        if index not in known:
            known[index] = _prepare(language_model, *steps[index], config.tokens, start.layers[0])
        optimiser.zero_grad()
        row = _ascend(language_model, SteeringVector(leaves), known[index], config, budget_nats, manner)
        optimiser.step()
        schedule.step()
        history.append(row)
        if progress:
            progress(
                f"update: step {number + 1} of {config.steps}, margin {row['margin']:.3f} and KL "
                f"{row['nats_per_token']:.3f} nats per token"
            )
    return SteeringVector({layer: leaf.detach() for layer, leaf in leaves.items()}), history


def _draw(
    members: Sequence[str], others: Sequence[str], config: OptimisedConfig, seed: int
) -> list[tuple[list[str], list[str]]]:
    """Batches of members and others, the same number of each wherever there are enough."""
    generator = np.random.default_rng(seed)
    groups = [
        [group[index] for index in generator.permutation(len(group))[: config.passages]]
        for group in (members, others)
    ]
    count = max(1, min(map(len, groups)) // config.batch)
    return [tuple(group[number::count][: config.batch] for group in groups) for number in range(count)]


@torch.no_grad()
def _prepare(
    language_model: LanguageModel, members: list[str], others: list[str], tokens: int, layer: int
) -> _Step:
    batches = list(language_model.batches([*members, *others], max_tokens=tokens))
    prefixes = [language_model.prefix(batch, layer) for batch in batches]
    states = [language_model.states(*pair) for pair in zip(batches, prefixes, strict=True)]
    losses = [_losses(language_model, *pair) for pair in zip(batches, states, strict=True)]
    order = [row for batch in batches for row in batch.rows]
    return _Step(batches, prefixes, states, losses, order, len(members))


def _losses(
    language_model: LanguageModel, batch: TokenBatch, states: Float[Tensor, "text token width"]
) -> Float[Tensor, "text prediction"]:
    where = batch.scored[:, 1:]
    losses = language_model.output.losses(states[:, :-1][where], batch.ids[:, 1:][where])
    return torch.zeros(where.shape, device=losses.device).masked_scatter(where, losses)


def _ascend(
    language_model: LanguageModel,
    vector: SteeringVector,
    step: _Step,
    config: OptimisedConfig,
    budget_nats: float,
    manner: Manner,
) -> dict[str, float]:
    """Accumulate the gradient of one step's loss in the vector's leaves, and measure it."""
    gains, counts, divergences = [], [], []
    for batch, prefix, base, base_losses in zip(
        step.batches, step.prefixes, step.states, step.losses, strict=True
    ):
        with language_model.steer(vector, 1.0, manner):
            states = language_model.states(batch, prefix)
        gains.append((base_losses - _losses(language_model, batch, states)).sum(1))
        counts.append(batch.scored.sum(1))
        # Every fourth position says enough about the distance.
        divergences.append(
            language_model.output.divergences(states[batch.pooled][::4], base[batch.pooled][::4])
        )
    gain, count = torch.cat(gains), torch.cat(counts).clamp(min=1)
    inside = torch.tensor([row < step.members for row in step.order], device=gain.device)
    pairs = gain[inside][:, None] - gain[~inside][None, :]
    divergence = torch.cat(divergences).mean()
    loss = -nn.functional.logsigmoid(config.beta * pairs).mean()
    loss = loss + config.penalty * (divergence - budget_nats).clamp(min=0)
    loss.backward()
    per_token = (gain / count).detach()
    return {
        "loss": float(loss.detach()),
        "preference": float((pairs > 0).float().mean()),
        "margin": float(per_token[inside].mean() - per_token[~inside].mean()),
        "member_gain": float(per_token[inside].mean()),
        "nats_per_token": float(divergence.detach()),
    }
