"""The certificate of a run: how its last notion stands without its pointer, kicked, and begun again from a spoiled one.

Written beside the rounds when a run ends. It is tried on the real texts alone, by the fading map, whatever method the run
re-clustered with: the question is whether the notion needs its pointer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.basin.certificate import Certificate, certify, verdict
from agent.clustering.round_map import RoundMap, Schedule
from agent.membership.documents import document_means
from agent.types import seed_for
from loops.records import RoundRecord
from loops.round.context import RunContext


def certify_run(context: RunContext, records: Sequence[RoundRecord]) -> Certificate | None:
    """What the last round's notion can say about itself; None before round 1."""
    if len(records) < 2:
        return None
    config, prior, seed = context.config, context.prior, context.config.seed
    views = [view.features for view in prior.views]
    folds = seed_for(seed, 0, "folds")
    round_map = RoundMap.of_views(views, context.passages.document_of, prior.size, config.clustering, folds)
    path = np.stack([document_means(record.concept.membership, round_map.document_of) for record in records])
    schedule = Schedule(config.clustering.fading.rounds if config.clustering.method == "fading" else None)
    # What the run began with: the pointer's log-odds, or those of a concept that was handed to it.
    began = document_means(records[0].concept.pooled, round_map.document_of)
    return certify(round_map, path, began, schedule, config.certificate, seed_for(seed, 0, "certificate"))


def told(found: Certificate, context: RunContext, records: Sequence[RoundRecord]) -> dict[str, object]:
    """The certificate as it is stored: its round, numbers, and what fails."""
    failures = found.failures(context.config.certificate)
    return {
        "round": records[-1].round,
        "certified": not failures,
        "sentence": verdict(failures),
        "failures": failures,
        **found.numbers(),
    }
