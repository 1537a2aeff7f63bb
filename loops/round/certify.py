"""The certificate of a run, tried on the real texts when the loop ends, and its concept's name.

The last concept must stay where it is without its pointer, return after kicks, and be reached again
by corrupted starts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.basin.certificate import certify as try_certificate
from agent.basin.certificate import verdict
from agent.basin.naming import concept_name
from agent.clustering.redraw import schedule
from agent.clustering.round_map import RoundMap
from agent.membership.documents import document_means
from agent.types import seed_for
from loops.records import RoundRecord
from loops.round.context import RunContext


def certify(context: RunContext, rounds: Sequence[RoundRecord]) -> dict[str, object] | None:
    """The certificate of the last concept as it is stored, or None before round 1."""
    if len(rounds) < 2:
        return None
    config, prior, seed = context.config, context.prior, context.config.seed
    views = [view.features for view in prior.views]
    folds = seed_for(seed, 0, "folds")
    round_map = RoundMap.of_views(views, context.passages.document_of, prior.size, config.clustering, folds)
    path = np.stack([document_means(each.concept.membership, round_map.document_of) for each in rounds])
    falls = schedule(prior, config.clustering)
    began = document_means(rounds[0].concept.pooled, round_map.document_of)
    kicks = seed_for(seed, 0, "certificate")
    found = try_certificate(round_map, path, began, falls, config=config.certificate, seed=kicks)
    failures = found.failures(config.certificate, prior.descent.stopped if prior.descent else None)
    name, membership, embeddings = None, rounds[-1].concept.membership, context.real.embeddings
    if context.embed is not None and embeddings is not None:
        code = context.pointer.model.language
        name = concept_name(membership, context.passages.texts, embeddings, context.embed, code)
    return {
        "round": rounds[-1].round,
        "name": name,
        "certified": not failures,
        "sentence": verdict(failures),
        "failures": failures,
        **found.numbers(),
    }
