"""Quality of starting pointers and of the fixed points that they reach, against gold labels.

Give counted documents only. An array holds NaN and a number is None where a measure has no value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from agent.concept import MEMBER

WEAK = 100.0
"""Inverse penalty of the logistic regression; keeps its slope finite for separable classes."""
SHORT_OF_CEILING = 0.02
GOOD = 0.5
"""Precision of a good start."""


@dataclass(frozen=True)
class Flows:
    """Paths of many starting pointers."""

    starts: Float[np.ndarray, "start document"]
    """The pointer's score of each document; only the order matters."""
    path: Float[np.ndarray, "start round document"]
    """Membership in [0, 1]; the first is the start's own claim."""
    fixed_point: Int[np.ndarray, "start"]
    """The fixed point that was reached; 0 is the most visited, -1 is none."""
    certified: Bool[np.ndarray, "start"]
    """Whether the certificate, which knows no labels, holds for the start."""

    @property
    def final(self) -> Float[np.ndarray, "start document"]:
        return self.path[:, -1]


@dataclass(frozen=True)
class Share:
    """A share with its Wilson interval of 95 %."""

    count: int
    of: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class SameFixedPoint:
    """How many of the better starts reach the same fixed point."""

    fixed_point: int | None
    """The one that most of them reach; None where none settles."""
    reached: Share | None
    """None where no start is so precise."""


def average_precisions(
    gold: Bool[np.ndarray, "document"], scores: Float[np.ndarray, "*over document"]
) -> Float[np.ndarray, "*over"]:
    """Average precision of many rankings. Raises ValueError when no document is positive."""
    _require_positive(gold)
    return np.apply_along_axis(lambda ranking: average_precision_score(gold, ranking), -1, scores)


def precisions_at_size(
    gold: Bool[np.ndarray, "document"], scores: Float[np.ndarray, "*over document"]
) -> Float[np.ndarray, "*over"]:
    """R-precision: precision, and recall, of as many top documents as are positive; ties count on
    average.

    Raises ValueError when no document is positive.
    """
    _require_positive(gold)
    size = int(gold.sum())
    cut = np.partition(scores, -size, axis=-1)[..., -size, None]
    above, tied = scores > cut, scores == cut
    drawn = (size - above.sum(axis=-1)) * (tied & gold).sum(axis=-1) / tied.sum(axis=-1)
    return np.asarray(((above & gold).sum(axis=-1) + drawn) / size)


def precision_and_recall(
    gold: Bool[np.ndarray, "document"], membership: Float[np.ndarray, "*over document"]
) -> tuple[Float[np.ndarray, "*over"], Float[np.ndarray, "*over"]]:
    """Of the members; precision is NaN where there are none.

    Raises ValueError when no document is positive.
    """
    _require_positive(gold)
    inside = membership >= MEMBER
    right, members = (inside & gold).sum(axis=-1), inside.sum(axis=-1)
    return np.where(members > 0, right / np.maximum(members, 1), np.nan), right / gold.sum()


def _require_positive(gold: Bool[np.ndarray, "document"]) -> None:
    if not gold.any():
        raise ValueError("no document is positive, so there is no precision to speak of")


def share(count: int, of: int) -> Share | None:
    """A share with the interval of Wilson (1927); None where `of` is 0."""
    if of == 0:
        return None
    interval = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return Share(count, of, count / of, float(interval.low), float(interval.high))


def is_right(average_precision: Float[np.ndarray, "start"], ceiling_ap: float) -> Bool[np.ndarray, "start"]:
    """Whether a concept is at most `SHORT_OF_CEILING` below classifiers trained on gold labels."""
    return average_precision >= ceiling_ap - SHORT_OF_CEILING


def same_fixed_point_share(
    fixed_point: Int[np.ndarray, "start"], precision: Float[np.ndarray, "start"], minimum: float = GOOD
) -> SameFixedPoint:
    """The share of starts of at least this precision that reach their most common fixed point."""
    reached = fixed_point[precision >= minimum]
    settled = reached[reached >= 0]
    if len(settled) == 0:
        return SameFixedPoint(None, share(0, len(reached)))
    visits = np.bincount(settled)
    return SameFixedPoint(int(visits.argmax()), share(int(visits.max()), len(reached)))


def threshold(precision: Float[np.ndarray, "start"], good: Bool[np.ndarray, "start"]) -> float | None:
    """The start's precision at which half of the starts succeed, by logistic regression.

    None where success does not rise with precision, or only outside the tried precisions.
    """
    centre, spread = precision.mean(), precision.std()
    if good.all() or not good.any() or spread < 1e-9:
        return None
    model = LogisticRegression(C=WEAK).fit((precision[:, None] - centre) / spread, good)
    slope, bias = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return None
    half = float(centre - spread * bias / slope)
    return half if precision.min() <= half <= precision.max() else None
