"""The model update of a round: a steering vector towards the members, then perhaps a LoRA adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agent.concept import Concept
from agent.language_model.adapter import Adapter
from agent.types import seed_for
from agent.updating import Update
from agent.updating import update as find_vector
from loops.records import Generated
from loops.round.context import Costs, RunContext

if TYPE_CHECKING:
    from agent.adapting.adapt import Written


def update(
    context: RunContext, concept: Concept, last: Concept, placed: Sequence[Generated], costs: Costs
) -> tuple[Concept, dict[str, float | int | str]]:
    """The concept with this round's vector and adapter, and the training's metrics.

    Args:
        last: the concept that wrote the steered passages.
        placed: all generated passages with their memberships.
    """
    updating, training = context.config.updating, dict[str, float | int | str]()
    scheduled = updating.schedule(costs.round)
    if scheduled.steer_nats is not None:
        with costs.stage("update"):
            concept = with_vector(concept, steer(context, concept, scheduled.steer_nats))
    if scheduled.adapt:
        with costs.stage("adapt"):
            adapter, training = _train_adapter(context, concept, last, placed)
            concept = replace(concept, adapter=adapter)
    return concept, training


def steer(context: RunContext, concept: Concept, nats: float) -> Update:
    """A steering vector from clear non-members to members that spends `nats` per token.

    Raises `BasinError` as `agent.updating.update`.
    """
    texts, inside = context.passages.texts, concept.members()
    if len(inside) == 0:
        inside = np.argsort(-concept.membership, kind="stable")[: max(1, len(texts) // 50)]
    outside = np.setdiff1d(np.flatnonzero(~concept.inside), inside)
    return find_vector(
        context.base,
        [texts[index] for index in inside],
        [texts[index] for index in outside],
        context.real.activations[inside],
        context.real.activations[outside],
        config=context.config.updating,
        nats=nats,
        member_weights=concept.membership[inside],
        other_weights=1 - concept.membership[outside],
    )


def with_vector(concept: Concept, step: Update) -> Concept:
    """The concept with a new steering vector."""
    return replace(concept, vector=step.vector, nats_per_token=step.nats_per_token)


def _train_adapter(
    context: RunContext, concept: Concept, last: Concept, generated: Sequence[Generated]
) -> tuple[Adapter, dict[str, float | int | str]]:
    """The adapter trained on members and generated texts, and its metrics.

    Args:
        last: the concept that wrote the steered part of `generated`.

    Raises:
        BasinError: as `agent.adapting.adapt.adapt`.
    """
    from agent.adapting.adapt import adapt  # slow to import

    return adapt(
        context.language_model,
        last,
        context.config.updating.adapting,
        corpus=context.corpus_adapter,
        passages=context.whole_passages,
        membership=concept.membership,
        by_base=_written([each for each in generated if each.kind == "base"]),
        by_concept=_written([each for each in generated if each.kind == "steered"]),
        # The same seed in every round makes a round a deterministic map of the concept.
        seed=seed_for(context.config.seed, 0, "adapter"),
        folder=context.scratch,
    )


def _written(generated: Sequence[Generated]) -> Written:
    """Generated passages as training data; unjudged ones count as readable."""
    from agent.adapting.adapt import Written

    return Written(
        [each.prompt for each in generated],
        [each.text for each in generated],
        np.array([each.membership for each in generated]),
        np.array([each.coherent is not False for each in generated]),
    )
