"""Some starts of a basin map as full runs, with generation and steering.

The map follows memberships of real texts only. Full runs of a few starts show whether generation
changes their fixed points.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from agent.basin.starts import Start
from agent.clustering.prior import estimate_prior
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import sigmoid
from agent.membership.similarity import soft_jaccard, spread, standardised
from agent.pointer.topic_model import Pointer
from agent.types import seed_for
from loops.basin_map.map import BasinMap, require_starts
from loops.checkpoint.atomic import write_file
from loops.checkpoint.store import RunStore
from loops.config import RunConfig
from loops.refine import refine
from loops.report.make import run_watchers
from loops.round.context import RunContext, prepare

logger = logging.getLogger(__name__)

FULL, RUNS = "full.json", "full"


@dataclass(frozen=True)
class ConstantPointer(Pointer):
    """A pointer with one weight for all generated texts, since a start knows only real ones."""

    level: float = 0.5

    def weights(self, texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        return np.full(len(texts), self.level)


def full_flows(found: BasinMap, names: Sequence[str], folder: Path) -> list[dict[str, object]]:
    """Run the named starts in full, each as a run in `folder/full`; existing runs are resumed.

    Raises:
        BasinError: a start does not exist; else as `loops.refine.refine`.
    """
    by_name = {start.name: number for number, start in enumerate(found.setup.starts)}
    require_starts(found.setup, names)
    config = found.config.run
    scratch = folder / RUNS / ".training"
    context = prepare(config, found.setup.passages, found.setup.pointer, scratch)
    rows = []
    for name in names:
        number = by_name[name]
        logger.info(f"In full: {name}")
        rows.append(_run_start(found, context, number, folder / RUNS))
        content = json.dumps(rows, indent=1, ensure_ascii=False)
        write_file(folder / FULL, content.encode())
    return rows


def with_start(context: RunContext, start: Start, scratch: Path) -> RunContext:
    """The context with the start as its pointer, scaled to the topic's mean and spread in log-odds."""
    document_of = context.passages.document_of
    numbers: Int[np.ndarray, "passage"] = numbered(document_of)
    topic = document_means(context.real.pointer_log_odds, numbers)
    scores = standardised(start.scores) * spread(topic) + float(topic.mean())
    real = replace(context.real, pointer_log_odds=scores[numbers])
    clustering = context.config.clustering.of_pointer(seeded=context.config.seeded)
    own = estimate_prior(
        real,
        document_of,
        context.size,
        clustering.model_copy(update={"size": context.size}),
        seed_for(context.config.seed, 0, "folds"),
        projection=context.prior.views[0].projection,
    )
    level = float(sigmoid(np.array([topic.mean()]))[0])
    pointer = ConstantPointer(context.pointer.model, context.pointer.topic, level)
    return replace(context, real=real, prior=own, pointer=pointer, no_concept=None, scratch=scratch)


def _run_start(found: BasinMap, shared: RunContext, number: int, folder: Path) -> dict[str, object]:
    start, cheap = found.setup.starts[number], found.flows[number].path[-1]
    store = _store(folder / hashlib.sha256(start.name.encode()).hexdigest()[:8], shared.config)
    context = with_start(shared, start, store.scratch)
    with store.exclusive(), run_watchers(store, context) as watchers:
        records = refine(context, store, found.config.rounds, watchers)
    final = document_means(records[-1].concept.membership, numbered(context.passages.document_of))
    last = records[-1].metrics
    certificate = store.load_certificate() or {}
    return {
        "name": start.name,
        "run": store.name,
        "rounds": records[-1].round,
        "overlap_with_cheap": soft_jaccard(final, cheap),
        "overlap_with_points": [soft_jaccard(final, point.membership) for point in found.points[:4]],
        "drift": last["drift"],
        "agreement": last["agreement"],
        "coherence": last["coherence"],
        "certificate": certificate.get("sentence"),
        "seconds": sum(record.seconds for record in records),
    }


def _store(path: Path, config: RunConfig) -> RunStore:
    return RunStore.open(path) if (path / "run.json").exists() else RunStore.create(path, config)
