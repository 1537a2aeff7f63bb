"""A round's adapter: what it is taught, out of the round's own texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.concept import Concept
from agent.types import seed_for
from loops.progress import Progress
from loops.records import Generated
from loops.setting import Fixed

if TYPE_CHECKING:
    from agent.updating.adapting import Adapted
    from agent.updating.expert import Written


def train_adapter(
    fixed: Fixed, concept: Concept, last: Concept, generated: Sequence[Generated], progress: Progress
) -> Adapted:
    """Train on the concept's members and on what was written, as the concept places it and readability judges it.

    Args:
        last: the concept that wrote the steered part of `generated`.

    Raises:
        BasinError: as `agent.updating.adapting.adapt`.
    """
    from agent.updating.adapting import adapt  # slow to import, and most runs of the command line do without

    return adapt(
        fixed.language_model,
        fixed.passages.texts,
        concept.membership,
        written([each for each in generated if each.kind == "base"]),
        written([each for each in generated if each.kind == "steered"]),
        last,
        fixed.config.updating.adapting,
        seed=seed_for(
            fixed.config.seed, 0, "adapter"
        ),  # of every round: a round is a deterministic map of the concept
        folder=fixed.scratch,
        progress=progress.say,
    )


def written(generated: Sequence[Generated]) -> Written:
    """Passages as training takes them; what no judge of readability has seen counts as readable."""
    from agent.updating.expert import Written

    return Written(
        [each.prompt for each in generated],
        [each.text for each in generated],
        np.array([each.membership for each in generated]),
        np.array([each.coherent is not False for each in generated]),
    )
