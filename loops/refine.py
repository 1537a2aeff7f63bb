"""The loop: generate, record, recluster, update, track, until the concept no longer moves.

A round is a function of the rounds before it; the loop stores each one. Nothing this file imports
can read a gold label.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from agent.basin.tracking import is_still
from agent.concept import Concept
from agent.progress import begin_stage
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.store import RunStore, load_history
from loops.records import RoundRecord, Watcher
from loops.round.certify import certify
from loops.round.context import Costs, RunContext
from loops.round.first import first_round
from loops.round.metrics import refuse_not_finite, summary, track
from loops.round.recluster import recluster
from loops.round.update import update
from loops.round.writing import fair_guard, generate, record

logger = logging.getLogger(__name__)


def refine(
    context: RunContext,
    store: RunStore,
    until: int | None = None,
    watchers: Sequence[Watcher] = (),
    *,
    received: Concept | None = None,
) -> list[RoundRecord]:
    """Rounds from the newest stored one until the concept is still, has collapsed, or `until` is reached.

    Args:
        until: the last round, run even if the concept is still before; by default `rounds` of the
            configuration.
        received: another model's concept that round 0 starts from, instead of the pointer.

    Raises:
        BasinError: a stored round is damaged or another model's, a metric is not finite, or the
            disk is full.
    """
    rounds = load_history(store)
    refuse_other_model(store, rounds, context.language_model)
    if not rounds:
        rounds = [first_round(context, received)]
        store.save(rounds[0], context.passages, context.pointer)
    context = replace(context, coherence=fair_guard(context.coherence, rounds[0].generated))
    for watcher in watchers:
        watcher.begin(rounds)
    while (reason := why_stop(context, rounds, until)) is None:
        done = next_round(context, rounds)
        store.save(done)
        rounds = [rounds[0], *(each.without_adapter() for each in rounds[1:]), done]
        logger.info(summary(done))
        for watcher in watchers:
            watcher.round_done(rounds)
    store.remove_scratch()
    begin_stage(rounds[-1].round, "certify")
    if (certificate := certify(context, rounds)) is not None:
        store.save_certificate(certificate)
        if certificate["name"]:
            logger.info(f"Name: {certificate['name']}")
        logger.info(str(certificate["sentence"]))
    logger.info(reason)
    return rounds


def next_round(context: RunContext, rounds: Sequence[RoundRecord]) -> RoundRecord:
    """One round; touches no disk, except for unfinished work that `context.partial` keeps."""
    last, costs = rounds[-1].concept, Costs(rounds[-1].round + 1)
    steered = generate(context, last, "steered", costs)  # passages and their coherence
    texts = record(context, steered.passages, rounds[0], costs)  # activations, with round 0's passages
    redrawn = recluster(context, last, texts, costs)  # membership, documents held out
    placed = redrawn.place([*steered.passages, *rounds[0].generated])
    concept, training = update(context, redrawn.concept, last, placed, costs)  # vector, then adapter
    metrics = track(context, rounds, concept, steered.coherence, placed) | training  # drift, guards
    refuse_not_finite(metrics)
    generated = tuple(each for each in placed if each.kind != "degenerate")  # round 0 keeps those
    activations = texts.activations[: len(generated)]
    return RoundRecord(costs.round, concept, metrics, generated, activations, costs.total())


def why_stop(context: RunContext, rounds: Sequence[RoundRecord], until: int | None) -> str | None:
    """The reason to run no further round, as a sentence, or None."""
    last, bounds = rounds[-1], context.config.tracking
    most = until or context.config.rounds
    if no_concept := rounds[0].metrics["no_concept"]:
        return str(no_concept)
    if last.metrics["collapsed"]:
        return f"Stopped: the run collapsed in round {last.round}, {last.metrics['collapsed']}."
    still = is_still([each.number("drift") for each in rounds[1:]], bounds)
    if still and (until is None or last.round >= most):
        return f"Converged: drift stayed under {bounds.drift_bound} for {bounds.patience} rounds."
    if last.round >= most:
        return f"Stopped after {most} rounds, before the concept was still; `basin resume` continues."
    return None
