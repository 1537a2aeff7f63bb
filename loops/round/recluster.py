"""Re-clustering in a round: the concept's membership, redrawn over real and generated texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from agent.clustering.redraw import redraw
from agent.clustering.texts import Texts
from agent.concept import Concept
from agent.types import seed_for
from loops.records import Generated
from loops.round.context import Costs, RunContext


@dataclass(frozen=True)
class Redrawn:
    """The redrawn concept, and the membership of the generated texts."""

    concept: Concept
    generated: Float[np.ndarray, "text"]

    def place(self, passages: Sequence[Generated]) -> tuple[Generated, ...]:
        """The generated passages with their memberships, in the order in which they were recorded."""
        pairs = zip(passages, self.generated, strict=True)
        return tuple(replace(each, membership=float(value)) for each, value in pairs)


def recluster(context: RunContext, last: Concept, texts: Texts, costs: Costs) -> Redrawn:
    """Redraw the boundary after the last concept, with whole documents held out.

    Args:
        texts: the generated texts.
    """
    with costs.stage("recluster"):
        drawn = redraw(
            context.real,
            context.passages.document_of,
            last,
            texts,
            context.prior,
            config=context.config.clustering,
            seed=seed_for(context.config.seed, 0, "folds"),
            round_number=costs.round,
        )
        concept = Concept(
            costs.round,
            drawn.membership,
            drawn.single,
            drawn.pooled,
            context.size,
            readout=drawn.readout,
            evidence=drawn.evidence,
            adapter=context.corpus_adapter,
        )
    return Redrawn(concept, drawn.generated)
