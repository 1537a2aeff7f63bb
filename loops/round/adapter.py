"""Training a round's adapter on real passages and on the round's generated texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.concept import Concept
from agent.language_model.adapter import Adapter
from agent.types import seed_for
from loops.records import Generated
from loops.round.context import RunContext

if TYPE_CHECKING:
    from agent.adapting.adapt import Written


def train_adapter(
    context: RunContext, concept: Concept, last: Concept, generated: Sequence[Generated]
) -> tuple[Adapter, dict[str, float | int]]:
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
        real=context.passages.texts,
        membership=concept.membership,
        by_base=written([each for each in generated if each.kind == "base"]),
        by_concept=written([each for each in generated if each.kind == "steered"]),
        # The same seed in every round makes a round a deterministic map of the concept.
        seed=seed_for(context.config.seed, 0, "adapter"),
        folder=context.scratch,
    )


def written(generated: Sequence[Generated]) -> Written:
    """Generated passages as training data; unjudged ones count as readable."""
    from agent.adapting.adapt import Written

    return Written(
        [each.prompt for each in generated],
        [each.text for each in generated],
        np.array([each.membership for each in generated]),
        np.array([each.coherent is not False for each in generated]),
    )
