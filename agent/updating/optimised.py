"""Steering vectors by gradient ascent on the likelihood gain of members over others.

The loss is a preference between real passages, with the base model as reference. Text stays
readable because openings are not scored, the distance from the base model is bounded token by
token, and the vector decays to the mean difference and is averaged over steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from agent.config import StageConfig
from agent.language_model.hooks import Prefix
from agent.language_model.model import LanguageModel
from agent.language_model.token_batches import TokenBatch
from agent.progress import advance
from agent.steering.gate import PLAIN, SteeringMode
from agent.steering.vector import SteeringVector


def preference_loss(
    gain: Float[Tensor, "text"], inside: Bool[Tensor, "text"], beta: float
) -> Float[Tensor, ""]:
    """Direct preference optimisation (2305.18290), for steering after Cao et al. (2406.00045).

    `-log sigmoid(beta (gain_c - gain_r))` over members c and others r. `gain` is the change of a
    passage's mean log-likelihood by steering, in nats; `beta` is per nat.
    """
    return -logsigmoid(beta * (gain[inside][:, None] - gain[~inside][None, :])).mean()


def above(divergences: Float[Tensor, "token"], budget: float, unevenness: float) -> Float[Tensor, ""]:
    """Excess of the root mean square of KL(steered || base) over `unevenness * budget`, in nats.

    A bound on the mean would let a few tokens take all of it, and the model repeats a keyword.
    `unevenness` is the allowed ratio of root mean square to mean.
    """
    # Clamped: the root has no gradient at 0.
    return (divergences.square().mean().clamp(min=1e-12).sqrt() - unevenness * budget).clamp(min=0)


UNEVENNESS = 1.5
"""Root mean square over mean of KL per token; 1.43 for a mean difference at 0.1 nats."""


OPENING = 16
"""Tokens at the start that are not scored: there a vector gains by guessing the genre."""
AVERAGED = 0.5
"""Share of the last steps whose mean is the vector: one step fits a dozen passages."""


class OptimisedConfig(StageConfig):
    """Settings of the ascent."""

    steps: int = Field(10, ge=1)
    passages: int = Field(60, ge=1)
    """Members, and as many others, that the vector is fitted on; drawn by the seed. Fewer than
    `steps * batch` are repeated, and the vector overfits them."""
    batch: int = Field(6, ge=1)
    """Members, and as many others, per step."""
    tokens: int = Field(80, ge=8)
    """Passages are cut to this length."""
    beta: float = Field(0.1, gt=0)
    """Per nat of preference over a passage of `tokens` tokens. Small values weigh all passages
    alike; large values weigh those not yet preferred."""
    learning_rate: float = Field(0.1, gt=0)
    """Adam's step, in units of the starting vector's root mean square at its layer."""
    decay: float = Field(0.05, ge=0, le=1)
    """Share of the way back to the mean difference after every step."""
    penalty: float = Field(10.0, ge=0)
    """Loss per nat by which the root mean square of KL per token exceeds its limit, see `above`."""


@dataclass(frozen=True)
class _Step:
    """A batch of passages with what the base model computes for it."""

    batches: list[TokenBatch]
    prefixes: list[Prefix]
    states: list[Float[Tensor, "_text _token width"]]
    likelihoods: Float[Tensor, "text"]
    """Mean log-likelihood per scored token, in the order of the batches."""
    inside: Bool[Tensor, "text"]


def optimise(
    language_model: LanguageModel,
    members: Sequence[str],
    others: Sequence[str],
    start: SteeringVector,
    config: OptimisedConfig,
    *,
    nats: float,
    seed: int,
    prior: SteeringVector,
    mode: SteeringMode = PLAIN,
) -> SteeringVector:
    """The vector after `config.steps` steps, not yet calibrated. Deterministic given the seed.

    Args:
        prior: the vector that every step decays to, of the same layers. Decay to the last round's
            vector would add up over rounds.
    """
    batches = _draw(members, others, config, seed)
    leaves = {layer: each.clone().requires_grad_() for layer, each in start.directions.items()}
    optimiser, schedule = _optimiser(leaves, config)
    known: dict[int, _Step] = {}
    sum_of_last = SteeringVector({})
    last = max(1, round(AVERAGED * config.steps))
    for number in range(config.steps):
        index = number % len(batches)
        if index not in known:
            known[index] = _prepare(language_model, *batches[index], config, start.layers[0])
        optimiser.zero_grad()
        _loss(language_model, SteeringVector(leaves), known[index], config, nats=nats, mode=mode).backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for layer, leaf in leaves.items():
                leaf.lerp_(prior.directions[layer], config.decay)
        if number >= config.steps - last:
            sum_of_last += SteeringVector({layer: leaf.detach().clone() for layer, leaf in leaves.items()})
        advance("update", number + 1, config.steps, "steps")
    return (1 / last) * sum_of_last


def _optimiser(
    leaves: Mapping[int, Tensor], config: OptimisedConfig
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with a step size per layer, and its cosine schedule."""
    groups = [
        {"params": [leaf], "lr": config.learning_rate * float(leaf.detach().square().mean().sqrt())}
        for leaf in leaves.values()
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.8, 0.95))
    return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)


def _draw(
    members: Sequence[str], others: Sequence[str], config: OptimisedConfig, seed: int
) -> list[tuple[list[str], list[str]]]:
    """Batches of members and as many others."""
    generator = np.random.default_rng(seed)
    drawn = [
        [group[index] for index in generator.permutation(len(group))[: config.passages]]
        for group in (members, others)
    ]
    count = max(1, min(map(len, drawn)) // config.batch)
    inside, outside = ([group[number::count][: config.batch] for number in range(count)] for group in drawn)
    return list(zip(inside, outside, strict=True))


@torch.no_grad()
def _prepare(
    language_model: LanguageModel, members: list[str], others: list[str], config: OptimisedConfig, layer: int
) -> _Step:
    batches = list(language_model.batches([*members, *others], max_tokens=config.tokens))
    prefixes = [language_model.prefix(batch, layer) for batch in batches]
    states = [language_model.states(*pair) for pair in zip(batches, prefixes, strict=True)]
    likelihoods = [
        _likelihoods(language_model, batch, each) for batch, each in zip(batches, states, strict=True)
    ]
    rows = torch.tensor([row for batch in batches for row in batch.rows], device=language_model.device)
    return _Step(batches, prefixes, states, torch.cat(likelihoods), rows < len(members))


def _likelihoods(
    language_model: LanguageModel, batch: TokenBatch, states: Float[Tensor, "text token width"]
) -> Float[Tensor, "text"]:
    """Mean log-likelihood of every text's tokens after its opening, in nats."""
    where = batch.scored[:, 1:]
    later = where & (batch.positions[:, 1:] > OPENING)
    # A text that is shorter than an opening is scored whole.
    where = torch.where(later.any(1, keepdim=True), later, where)
    losses = language_model.output.losses(states[:, :-1][where], batch.ids[:, 1:][where])
    losses = torch.zeros(where.shape, device=losses.device).masked_scatter(where, losses)
    return -losses.sum(1) / where.sum(1).clamp(min=1)


def _loss(
    language_model: LanguageModel,
    vector: SteeringVector,
    step: _Step,
    config: OptimisedConfig,
    *,
    nats: float,
    mode: SteeringMode,
) -> Float[Tensor, ""]:
    """The preference loss of a batch, and the penalty of its distance from the base model."""
    likelihoods, divergences = [], []
    for batch, prefix, base in zip(step.batches, step.prefixes, step.states, strict=True):
        with language_model.steer(vector, 1.0, mode):
            states = language_model.states(batch, prefix)
        likelihoods.append(_likelihoods(language_model, batch, states))
        # Every fourth position suffices to measure the distance.
        divergences.append(
            language_model.output.divergences(states[batch.pooled][::4], base[batch.pooled][::4])
        )
    gain = torch.cat(likelihoods) - step.likelihoods
    preference = preference_loss(gain, step.inside, config.beta * config.tokens)
    return preference + config.penalty * above(torch.cat(divergences), nats, UNEVENNESS)
