"""Round 0: the first concept from the pointer, the first vector, and the base model's texts."""

from __future__ import annotations

import logging
from dataclasses import replace

from agent.concept import Concept
from agent.errors import BasinError
from agent.membership.documents import document_mean
from agent.membership.log_odds import sigmoid, threshold
from loops.records import Generated, Metrics, RoundRecord
from loops.round.context import Costs, RunContext
from loops.round.pointer import calibrated_start, starting_vector
from loops.round.recluster import Redrawn
from loops.round.update import steer, with_vector
from loops.round.writing import fair_guard, generate, judged_again, read

logger = logging.getLogger(__name__)


def first_round(context: RunContext, received: Concept | None = None) -> RoundRecord:
    """The round that the loop starts from.

    Args:
        received: a concept from another model, instead of the pointer's claim; a vector that it has
            is tried as it is.
    """
    costs = Costs(0, dict(context.preparation))
    concept = received or _pointed_at(context)
    with costs.stage("update"):
        budget = context.config.updating.budget_nats
        step = steer(context, concept, budget)
    # Written without the vector, so the order of writing and steering does not matter.
    base = generate(context, concept, "base", costs)
    context = replace(context, coherence=fair_guard(context.coherence, base.passages))
    if note := context.coherence.note:
        logger.warning(note)
        base = judged_again(context, base.passages)
    if received is None or received.vector is None:
        concept = _with_first_vector(context, with_vector(concept, step))
    degenerate = _degenerate(context, concept, costs)
    passages = [*base.passages, *degenerate]
    with costs.stage("record"):
        texts = read(context, passages)
    at = threshold(context.real.pointer_log_odds, context.size)
    generated = Redrawn(concept, sigmoid(texts.pointer_log_odds - at)).place(passages)
    metrics = _metrics(context, concept) | {"base_coherence": base.coherence.share}
    return RoundRecord(0, concept, metrics, generated, texts.activations, costs.total())


def _pointed_at(context: RunContext) -> Concept:
    single = context.real.pointer_log_odds
    pooled = document_mean(single, context.passages.document_of)
    found = Concept(0, context.prior.membership, single.copy(), pooled, context.size)
    return replace(found, adapter=context.corpus_adapter)


def _with_first_vector(context: RunContext, concept: Concept) -> Concept:
    """The mean difference, or the configured control vector in its place."""
    updating = context.config.updating
    if (given := starting_vector(updating)) is None:
        return concept
    texts = context.passages.texts
    vector, nats = calibrated_start(context.base, given, updating, texts)
    return replace(concept, vector=vector, nats_per_token=nats)


def _degenerate(context: RunContext, concept: Concept, costs: Costs) -> tuple[Generated, ...]:
    """Deliberately over-steered passages: negative examples for every round."""
    config = context.config.updating
    if not config.degenerate:
        return ()
    try:
        with costs.stage("update"):
            step = steer(context, concept, config.degenerate_nats)
    except BasinError as error:
        logger.info(f"No degenerate passages serve as negative examples: {error}")
        return ()
    hard = replace(concept, vector=step.vector)
    return generate(context, hard, "degenerate", costs).passages


def _metrics(context: RunContext, concept: Concept) -> Metrics:
    words, pointer = context.config.topics.words, context.pointer
    return {
        "round": 0,
        "topic": pointer.topic,
        "words": " ".join(pointer.model.top_words(pointer.topic)),
        "words_held": len(pointer.holds(words)) if words else None,
        "size": float(concept.membership.mean()),
        "size_low": context.prior.found.low if context.prior.found else None,
        "size_high": context.prior.found.high if context.prior.found else None,
        "least_trust": context.prior.least_trust,
        "members": len(concept.members()),
        "nats_per_token": concept.nats_per_token,
        "drift": None,
        "z_score": context.prior.z_score,
        "no_concept": context.no_concept,
        "collapsed": None,
    }
