"""Metrics of a round: size, drift, agreement, coherence and collapse. None reads a gold label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.basin.natural_latent import natural_latent
from agent.basin.tracking import collapse, movement
from agent.clustering.redraw import schedule
from agent.concept import Concept
from agent.errors import BasinError
from agent.language_model.coherence import CoherenceReport
from agent.types import seed_for
from loops.records import Generated, Metrics, RoundRecord
from loops.round.context import RunContext


def track(
    context: RunContext,
    rounds: Sequence[RoundRecord],
    concept: Concept,
    coherence: CoherenceReport,
    placed: Sequence[Generated],
) -> Metrics:
    """All metrics of a new concept.

    Args:
        coherence: of the steered passages.
        placed: all generated passages with their memberships.
    """
    base = rounds[0].number("base_coherence")
    metrics = _of_concept(context, rounds, concept) | _of_writing(coherence, placed)
    relative = coherence.share / base if base else None  # nothing to compare with
    size = float(concept.membership.mean())
    metrics["collapsed"] = collapse(size, relative, coherence.repetitive_share, context.config.tracking)
    return metrics


def refuse_not_finite(metrics: Metrics) -> None:
    """Raise `BasinError` for a metric that is not finite: the round is not stored, since later ones would build on it."""
    for name, value in metrics.items():
        if isinstance(value, float) and not np.isfinite(value):
            raise BasinError(
                f"Round {metrics['round']} gave {name}, which is not finite, and is not stored; earlier rounds are: use dtype "
                "float32, steer less (updating.budget_nats), or lower updating.adapting.lora.learning_rate."
            )


def summary(record: RoundRecord) -> str:
    """A round in one line."""
    of = record.metrics
    return (
        f"Round {record.round}: size {of['size']:.1%}, drift {of['drift']:.3f}, agreement {of['agreement']:.2f} "
        f"(base {of['base_agreement']:.2f}), coherence {of['coherence']:.2f}, {record.seconds:.0f} s"
    )


def _of_concept(context: RunContext, rounds: Sequence[RoundRecord], concept: Concept) -> Metrics:
    last = rounds[-1]
    previous = None if last.metrics["drift"] is None else last.number("drift")
    moved = movement(last.concept.membership, concept.membership, previous)
    seed = seed_for(context.config.seed, 0, "natural latent")  # the same halves in every round
    assert concept.evidence is not None
    natural = natural_latent(concept.membership, concept.evidence, context.passages.document_of, seed)
    return {
        "round": concept.round,
        "size": float(concept.membership.mean()),
        "trust": schedule(context.prior, context.config.clustering).trust(concept.round),
        "members": len(concept.members()),
        "drift": moved.drift,
        "contraction": moved.contraction,
        "redundancy": natural.redundancy if natural else None,
        "redundancy_share": natural.redundancy_share if natural else None,
        "mediation": natural.mediation if natural else None,
        "nats_per_token": concept.nats_per_token,
    }


def _of_writing(report: CoherenceReport, placed: Sequence[Generated]) -> Metrics:
    inside = {kind: [each.membership for each in placed if each.kind == kind] for kind in ("steered", "base")}
    degenerate = [each.membership for each in placed if each.kind == "degenerate" and each.coherent is False]
    return {
        "agreement": float(np.mean(inside["steered"])),
        "base_agreement": float(np.mean(inside["base"])),
        "degenerate_agreement": float(np.mean(degenerate)) if degenerate else None,
        "coherence": report.share,
        "repetitive": report.repetitive_share,
        "broken": report.broken_share,
        "loss": None if np.isnan(report.losses).all() else float(np.nanmean(report.losses)),
    }
