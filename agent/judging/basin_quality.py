"""Quality of starting pointers and of the fixed points that they reach, against gold labels.

Only counted documents enter. An array holds NaN and a number is None where a measure has no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from agent.concept import MEMBER

WEAK = 100.0
"""Inverse penalty of the logistic regression; keeps its slope finite for separable classes."""
NINE_TO_ONE = np.log(9)
"""Log-odds of 90 %."""
SHORT_OF_CEILING = 0.02


@dataclass(frozen=True)
class Flows:
    """Paths of many starting pointers."""

    kinds: Sequence[str]
    """Of each start: `topic`, `noise`, `mixture`, ..."""
    levels: Sequence[float]
    """Of each start, in its kind's own units, such as the share of noise."""
    starts: Float[np.ndarray, "start document"]
    """The pointer's score of each document; only the order matters."""
    path: Float[np.ndarray, "start round document"]
    """Membership in [0, 1]; the first is the start's own claim."""
    fixed_point: Int[np.ndarray, "start"]
    """The fixed point that was reached; 0 is the most visited, -1 is none."""
    certified: Bool[np.ndarray, "start"]
    """Whether the certificate, which knows no labels, holds for the start."""

    def __post_init__(self) -> None:
        every = (self.kinds, self.levels, self.starts, self.path, self.fixed_point, self.certified)
        if len({len(each) for each in every}) > 1:
            raise ValueError(f"fields are of different numbers of starts: {[len(each) for each in every]}")
        if self.starts.shape[-1] != self.path.shape[-1]:
            raise ValueError(f"{self.starts.shape[-1]} documents in starts, {self.path.shape[-1]} in path")

    @property
    def final(self) -> Float[np.ndarray, "start document"]:
        return self.path[:, -1]


@dataclass(frozen=True)
class StartQuality:
    """How close each pointer is to the concept before refinement."""

    precision: Float[np.ndarray, "start"]
    """At the concept's true size."""
    average_precision: Float[np.ndarray, "start"]


@dataclass(frozen=True)
class MembershipQuality:
    """How close memberships are to the concept; axes [start] or [start round]."""

    precision: Float[np.ndarray, "*over"]
    """Precision of the members; NaN where there are none."""
    recall: Float[np.ndarray, "*over"]
    average_precision: Float[np.ndarray, "*over"]
    precision_at_size: Float[np.ndarray, "*over"]
    """At the concept's true size."""


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


@dataclass(frozen=True)
class Threshold:
    """The precision from which starts reach the good fixed point."""

    half: float | None
    """Where half of the starts succeed; None where success does not rise with precision."""
    nine_tenths: float | None
    low: float | None
    """Ends of the 95 % bootstrap interval of `half`; None where most resamples have no value."""
    high: float | None


@dataclass(frozen=True)
class QualityCurve:
    """Final average precision in equal bins of the start's precision; NaN in empty ones."""

    edges: Float[np.ndarray, "edge"]
    count: Int[np.ndarray, "bin"]
    median: Float[np.ndarray, "bin"]
    low: Float[np.ndarray, "bin"]
    """10th percentile."""
    high: Float[np.ndarray, "bin"]
    """90th percentile."""


@dataclass(frozen=True)
class CertificateQuality:
    """Precision and recall of the certificate for right starts."""

    precision: Share | None
    """None where nothing is certified."""
    recall: Share | None
    """None where nothing is right."""


def average_precisions(
    gold: Bool[np.ndarray, "document"], scores: Float[np.ndarray, "*over document"]
) -> Float[np.ndarray, "*over"]:
    """Average precision of many rankings at once, equal to scikit-learn's with ties too.

    Raises ValueError when no document is positive.
    """
    _require_positive(gold)
    order = np.argsort(-scores, axis=-1, kind="stable")
    ranked, right = np.take_along_axis(scores, order, axis=-1), gold[order]
    documents = ranked.shape[-1]
    ends = np.ones(ranked.shape, dtype=bool)
    ends[..., :-1] = ranked[..., :-1] != ranked[..., 1:]
    # The rank at which each document's group of equal scores ends.
    end = np.where(ends, np.arange(documents), documents)
    end = np.minimum.accumulate(end[..., ::-1], axis=-1)[..., ::-1]
    precision = np.take_along_axis(right.cumsum(axis=-1), end, axis=-1) / (end + 1)
    return np.asarray((precision * right).sum(axis=-1) / gold.sum())


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


def _require_positive(gold: Bool[np.ndarray, "document"]) -> None:
    if not gold.any():
        raise ValueError("no document is positive, so there is no precision to speak of")


def start_quality(
    flows: Flows, gold: Bool[np.ndarray, "document"], counted: Bool[np.ndarray, "document"]
) -> StartQuality:
    """Quality of the pointers themselves."""
    gold, scores = gold[counted], flows.starts[:, counted]
    return StartQuality(precisions_at_size(gold, scores), average_precisions(gold, scores))


def membership_quality(
    membership: Float[np.ndarray, "*over document"],
    gold: Bool[np.ndarray, "document"],
    counted: Bool[np.ndarray, "document"],
) -> MembershipQuality:
    """Quality of any memberships, over counted documents."""
    gold, membership = gold[counted], membership[..., counted]
    _require_positive(gold)
    inside = membership >= MEMBER
    right, members = (inside & gold).sum(axis=-1), inside.sum(axis=-1)
    precision = np.where(members > 0, right / np.maximum(members, 1), np.nan)
    ranking = average_precisions(gold, membership), precisions_at_size(gold, membership)
    return MembershipQuality(precision, right / gold.sum(), *ranking)


def share(count: int, of: int) -> Share | None:
    """A share with the interval of Wilson (1927); None where `of` is 0."""
    if of == 0:
        return None
    interval = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return Share(count, of, count / of, float(interval.low), float(interval.high))


def is_right(average_precision: Float[np.ndarray, "start"], ceiling_ap: float) -> Bool[np.ndarray, "start"]:
    """Whether a concept is at most `SHORT_OF_CEILING` below classifiers trained on gold labels."""
    return average_precision >= ceiling_ap - SHORT_OF_CEILING


def same_fixed_point_share(flows: Flows, quality: StartQuality, minimum: float = 0.5) -> SameFixedPoint:
    """The share of starts of at least this precision that reach their most common fixed point."""
    reached = flows.fixed_point[quality.precision >= minimum]
    settled = reached[reached >= 0]
    if len(settled) == 0:
        return SameFixedPoint(None, share(0, len(reached)))
    visits = np.bincount(settled)
    return SameFixedPoint(int(visits.argmax()), share(int(visits.max()), len(reached)))


def threshold(
    start_precision: Float[np.ndarray, "start"],
    good: Bool[np.ndarray, "start"],
    resamples: int = 500,
    seed: int = 0,
) -> Threshold:
    """Logistic regression of success on precision, with a bootstrap interval over starts.

    A threshold outside the tried precisions is None. Starts made from one pointer are not
    independent, so the interval is too narrow where few pointers make many starts.
    """
    half, nine_tenths = _crossing(start_precision, good)
    least, most = float(start_precision.min()), float(start_precision.max())
    if half is None or not least <= half <= most:
        return Threshold(None, None, None, None)
    nine_tenths = None if nine_tenths is None or nine_tenths > most else nine_tenths
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(good), size=(resamples, len(good)))
    found = [_crossing(start_precision[draw], good[draw])[0] for draw in draws]
    known = [each for each in found if each is not None]
    if 2 * len(known) < resamples or not known:
        return Threshold(half, nine_tenths, None, None)
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    return Threshold(half, nine_tenths, low, high)


def _crossing(
    precision: Float[np.ndarray, "start"], good: Bool[np.ndarray, "start"]
) -> tuple[float | None, float | None]:
    """Precisions at which success has a probability of 50 % and of 90 %."""
    centre, spread = precision.mean(), precision.std()
    if good.all() or not good.any() or spread < 1e-9:
        return None, None
    model = LogisticRegression(C=WEAK).fit((precision[:, None] - centre) / spread, good)
    slope, bias = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return None, None
    half, nine_tenths = (float(centre + spread * (odds - bias) / slope) for odds in (0.0, NINE_TO_ONE))
    return half, nine_tenths


def quality_curve(
    start_precision: Float[np.ndarray, "start"], final_ap: Float[np.ndarray, "start"], bins: int = 10
) -> QualityCurve:
    """Median and the middle 80 % of final average precision, in equal bins of [0, 1]."""
    edges = np.linspace(0, 1, bins + 1)
    at = np.clip(np.floor(start_precision * bins + 1e-9).astype(np.int64), 0, bins - 1)
    levels = np.full((bins, 3), np.nan)
    for number in np.unique(at):
        levels[number] = np.quantile(final_ap[at == number], [0.1, 0.5, 0.9])
    low, median, high = levels.T
    return QualityCurve(edges, np.bincount(at, minlength=bins), median, low, high)


def certificate_quality(
    certified: Bool[np.ndarray, "start"], right: Bool[np.ndarray, "start"]
) -> CertificateQuality:
    """How well the certificate predicts which starts are right."""
    both = int((certified & right).sum())
    return CertificateQuality(share(both, int(certified.sum())), share(both, int(right.sum())))
