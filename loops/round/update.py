"""The model update of a round: a steering vector towards the members, then perhaps a LoRA adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agent.concept import Concept
from agent.steering.vector import SteeringVector
from agent.types import seed_for
from agent.updating import Method, Update
from agent.updating import update as find_vector
from loops.records import Generated
from loops.round.adapter import train_adapter
from loops.round.context import Costs, RunContext


def update(
    context: RunContext, concept: Concept, last: Concept, placed: Sequence[Generated], costs: Costs
) -> tuple[Concept, dict[str, float | int]]:
    """The concept with this round's vector and adapter, and the training's metrics.

    Args:
        last: the concept that wrote the steered passages.
        placed: all generated passages with their memberships.
    """
    updating, training = context.config.updating, dict[str, float | int]()
    scheduled = updating.schedule(costs.round)
    if scheduled.steer_nats is not None:
        with costs.stage("update"):
            start = last.vector if last.round or updating.start_vector else None
            step = steer(context, concept, scheduled.steer_nats, start)
            concept = with_vector(concept, step)
    if scheduled.adapt:
        with costs.stage("adapt"):
            adapter, training = train_adapter(context, concept, last, placed)
            concept = replace(concept, adapter=adapter)
    return concept, training


def steer(
    context: RunContext,
    concept: Concept,
    nats: float,
    start: SteeringVector | None = None,
    method: Method | None = None,
) -> Update:
    """A steering vector from clear non-members to members that spends `nats` per token.

    Args:
        start: where an optimised vector sets out from.
        method: by default the configured one.

    Raises:
        BasinError: as `agent.updating.update`.
    """
    texts, inside = context.passages.texts, concept.members()
    if len(inside) == 0:
        inside = np.argsort(-concept.membership, kind="stable")[: max(1, len(texts) // 50)]
    outside = np.setdiff1d(np.flatnonzero(~concept.inside), inside)
    return find_vector(
        context.language_model,
        [texts[index] for index in inside],
        [texts[index] for index in outside],
        context.real.activations[inside],
        context.real.activations[outside],
        config=context.config.updating,
        nats=nats,
        method=method,
        seed=seed_for(context.config.seed, concept.round, "update"),
        member_weights=concept.membership[inside],
        other_weights=1 - concept.membership[outside],
        start=start,
    )


def with_vector(concept: Concept, step: Update) -> Concept:
    """The concept with a new steering vector."""
    return replace(concept, vector=step.vector, nats_per_token=step.nats_per_token, mode=step.mode)
