"""Which generated passages are inside the concept, by all judges together.

A passage is inside if the mean of its judges' cluster scores is at least 0.5, half-way from real
non-members to real members. A mean is used instead of a vote, because scores far from the midpoint
are more certain. Not all real members pass, so their share is the number to compare with.
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
    """Shares of passages that are inside; None where a judge is not reliable (`Judgement.tells`)."""

    inside: Bool[np.ndarray, "text"]
    """False for a text that is too short to judge."""
    share: float | None
    """Of all the generator's texts."""
    readable_share: float | None
    """Inside and coherent, of all the generator's texts; None where no coherence was given."""
    too_short: int
    real_members: float | None
    """Share of real members of unseen documents that pass: the score of a perfect generator."""
    real_non_members: float | None
    """Share of real non-members that pass: the score of a random book."""


def cluster_scores(judgements: Sequence[Judgement], generator: str) -> Float[np.ndarray, "judge text"]:
    """Each judge's cluster score of each text: 0 is the mean real non-member, 1 the mean member.

    NaN for a text that is too short, and for all texts of a judge that is not reliable.
    """
    return np.stack([_on_cluster_scale(each, each.generated[generator]) for each in judgements])


def inside(scores: Float[np.ndarray, "judge text"]) -> Bool[np.ndarray, "text"]:
    """Whether the mean of a text's cluster scores is at least 0.5; False where one of them is NaN."""
    return np.asarray(scores.mean(0) >= MIDPOINT)


def measure_inside(
    judgements: Sequence[Judgement],
    generator: str,
    real: RealPassages,
    coherent: Bool[np.ndarray, "text"] | None = None,
) -> InsideReport:
    """Shares of a generator's texts that are inside, and inside and coherent.

    Args:
        judgements: of `judge_passages`, by the judges that count (A and B).
        real: the passages that the judgements were made with.
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


def agreement(judgements: tuple[Judgement, Judgement], generator: str) -> float | None:
    """Rank correlation of two judges over a generator's texts; None for fewer than three texts or
    constant scores.
    """
    ours, theirs = cluster_scores(judgements, generator)
    judged = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[judged], theirs[judged]
    ranked = len(ours) > 2 and np.ptp(ours) > 0 and np.ptp(theirs) > 0
    return float(spearmanr(ours, theirs).statistic) if ranked else None


def _on_cluster_scale(judgement: Judgement, scores: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """`writing.cluster_score` of single texts."""
    gap = judgement.members - judgement.non_members if judgement.tells else np.nan
    return (scores - judgement.non_members) / gap
