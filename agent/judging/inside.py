"""Which generated passages are inside the concept, by all judges together, and what real passages make of that test.

A passage is inside if the mean of its judges' cluster scores is at least 0.5: half-way from what real
non-members score to what real members do. Each judge has its own scale, and on the cluster score's all weigh the
same. A mean rather than a vote, because a passage that one judge places well inside and the other just outside
the midpoint is likelier a member than not. Not all real members pass either: their share is what to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import spearmanr

from agent.judging.decisions import Judgement, RealPassages

MIDPOINT = 0.5


@dataclass(frozen=True)
class InsideReport:
    """Shares of passages that are inside; None where a judge cannot tell the concept (`Judgement.tells`)."""

    inside: Bool[np.ndarray, "text"]
    """False too for a text that is too short to judge."""
    share: float | None
    """Of all the generator's texts."""
    readable_share: float | None
    """Inside and coherent, of all the generator's texts; None too where no coherence was given."""
    too_short: int
    real_members: float | None
    """Share of real members, of unseen documents, that pass the same test: what a perfect generator would reach."""
    real_non_members: float | None
    """The same of real non-members: what a random book reaches."""


@dataclass(frozen=True)
class Agreement:
    """How far two judges say the same of the same texts."""

    spearman: float | None
    """Rank correlation in [-1, 1]; None for fewer than three texts, or where a judge says the same of all."""
    same_side: float | None
    """Share of texts that both put on one side of their midpoints; None where there is no text or no midpoint."""
    texts: int


def cluster_scores(judgements: Sequence[Judgement], generator: str) -> Float[np.ndarray, "judge text"]:
    """Every judge's cluster score of every text: 0 as real non-members in the mean, 1 as real members.

    NaN for a text that is too short, and throughout where a judge cannot tell the concept.
    """
    return np.stack([_on_cluster_scale(each, each.generated[generator]) for each in judgements])


def inside(scores: Float[np.ndarray, "judge text"]) -> Bool[np.ndarray, "text"]:
    """Whether the mean of a text's cluster scores is at least half-way; False where one of them is NaN."""
    return scores.mean(0) >= MIDPOINT


def measure_inside(
    judgements: Sequence[Judgement],
    generator: str,
    real: RealPassages,
    coherent: Bool[np.ndarray, "text"] | None = None,
) -> InsideReport:
    """What share of a generator's texts is inside, and what share inside and coherent.

    Args:
        judgements: of `judge_passages`, of as many judges as are to have a say (A and B).
        real: the passages that the judgements were made with, for their labels.
        coherent: of the generator's texts, in their order.
    """
    scores = cluster_scores(judgements, generator)
    passed = inside(scores)
    too_short = int(np.isnan([each.generated[generator] for each in judgements]).any(0).sum())
    if not len(passed) or not all(each.tells for each in judgements):
        return InsideReport(passed, None, None, too_short, None, None)
    real_scores = np.stack([_on_cluster_scale(each, each.real) for each in judgements])
    judged = ~np.isnan(real_scores).any(0)
    real_passed = inside(real_scores)
    return InsideReport(
        inside=passed,
        share=float(passed.mean()),
        readable_share=None if coherent is None else float((passed & coherent).mean()),
        too_short=too_short,
        real_members=float(real_passed[judged & real.gold].mean()),
        real_non_members=float(real_passed[judged & ~real.gold].mean()),
    )


def agreement(judgements: tuple[Judgement, Judgement], generators: Sequence[str]) -> Agreement:
    """Of two judges over the texts of some generators together.

    Give one generator at a time too: over several, the ranks agree already where the judges agree which
    generator is the better one.
    """
    ours, theirs = np.concatenate([cluster_scores(judgements, name) for name in generators], axis=1)
    judged = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[judged], theirs[judged]
    if not len(ours):
        return Agreement(None, None, 0)
    ranked = len(ours) > 2 and np.ptp(ours) > 0 and np.ptp(theirs) > 0
    return Agreement(
        spearman=float(spearmanr(ours, theirs).statistic) if ranked else None,
        same_side=float(((ours >= MIDPOINT) == (theirs >= MIDPOINT)).mean()),
        texts=len(ours),
    )


def _on_cluster_scale(judgement: Judgement, scores: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """`writing.cluster_score` of single texts."""
    gap = judgement.members - judgement.non_members if judgement.tells else np.nan
    return (scores - judgement.non_members) / gap
