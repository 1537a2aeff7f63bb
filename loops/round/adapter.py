"""A round's adapter: what it is taught, out of the round's own texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.concept import Concept
from agent.types import seed_for
from loops.records import Generated
from loops.round.context import RunContext

if TYPE_CHECKING:
    from agent.adapting.adapt import Adapted
    from agent.adapting.training_data import Written


def train_adapter(
    context: RunContext, concept: Concept, last: Concept, generated: Sequence[Generated]
) -> Adapted:
    """Train on the concept's members and on what was written, as the concept places it and readability judges it.

    Args:
        last: the concept that wrote the steered part of `generated`.

    Raises:
        BasinError: as `agent.adapting.adapt.adapt`.
    """
    from agent.adapting.adapt import adapt  # slow to import, and most runs of the command line do without

    return adapt(
        context.language_model,
        last,
        context.config.updating.adapting,
        real=context.passages.texts,
        membership=concept.membership,
        by_base=written([each for each in generated if each.kind == "base"]),
        by_concept=written([each for each in generated if each.kind == "steered"]),
        seed=seed_for(
            context.config.seed, 0, "adapter"
        ),  # of every round: a round is a deterministic map of the concept
        folder=context.scratch,
    )


def written(generated: Sequence[Generated]) -> Written:
    """Passages as training takes them; what no judge of readability has seen counts as readable."""
    from agent.adapting.training_data import Written

    return Written(
        [each.prompt for each in generated],
        [each.text for each in generated],
        np.array([each.membership for each in generated]),
        np.array([each.coherent is not False for each in generated]),
    )
