"""Fixed points: final memberships that overlap, each with the starts that reached it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from agent.membership.similarity import SAME, overlap


@dataclass(frozen=True)
class FixedPoint:
    """One concept that starts flow to."""

    membership: Float[np.ndarray, "document"]
    """Mean over the starts that arrived."""
    starts: Int[np.ndarray, "arrived"]
    """Starts that arrived: a sample of its basin."""


def overlaps(
    memberships: Float[np.ndarray, "start document"], others: Float[np.ndarray, "other document"]
) -> Float[np.ndarray, "start other"]:
    """Soft Jaccard of every membership with every other one."""
    return np.stack([overlap(memberships, each) for each in others], axis=1)


def fixed_points(
    finals: Float[np.ndarray, "start document"], settled: Bool[np.ndarray, "start"]
) -> tuple[list[FixedPoint], Int[np.ndarray, "start"]]:
    """Fixed points by falling number of starts, and the one of each start; -1 where unsettled.

    Complete linkage at `SAME`: any two memberships at one point overlap by as much.
    """
    rows = np.flatnonzero(settled)
    reached = np.full(len(finals), -1)
    if len(rows) == 0:
        return [], reached
    groups = np.zeros(len(rows), dtype=np.int64)
    if len(rows) > 1:
        distance = 1 - overlaps(finals[rows], finals[rows])
        np.fill_diagonal(distance, 0.0)
        tree = linkage(squareform((distance + distance.T) / 2, checks=False), "complete")
        groups = fcluster(tree, 1 - SAME, "distance") - 1
    order = sorted(
        range(groups.max() + 1), key=lambda group: (-(groups == group).sum(), rows[groups == group][0])
    )
    found = []
    for number, group in enumerate(order):
        arrived = rows[groups == group]
        reached[arrived] = number
        found.append(FixedPoint(finals[arrived].mean(axis=0), arrived))
    return found, reached


def most_like(
    membership: Float[np.ndarray, "document"], topics: Float[np.ndarray, "topic document"]
) -> list[tuple[int, float]]:
    """Topics by falling correlation of their scores with the membership."""
    centred = topics - topics.mean(axis=1, keepdims=True)
    own = membership - membership.mean()
    lengths = np.linalg.norm(centred, axis=1) * np.linalg.norm(own)
    found = centred @ own / np.maximum(lengths, 1e-12)
    return [(int(topic), float(found[topic])) for topic in np.argsort(-found, kind="stable")]


def telling_words(
    membership: Float[np.ndarray, "document"], holds: Bool[np.ndarray, "document word"], count: int
) -> list[int]:
    """Words with the largest z-score of being in members rather than in others."""
    inside, outside = membership / membership.sum(), (1 - membership) / (1 - membership).sum()
    among, elsewhere = inside @ holds, outside @ holds
    either = holds.mean(axis=0)
    deviation = np.sqrt(either * (1 - either) * ((inside**2).sum() + (outside**2).sum())) + 1e-9
    order = np.argsort(-(among - elsewhere) / deviation, kind="stable")
    return [int(word) for word in order[:count]]
