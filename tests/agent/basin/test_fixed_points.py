"""Fixed points: finals that overlap are one, the most visited comes first, and words name it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.basin.fixed_points import fixed_points, most_like, overlaps, telling_words
from agent.membership.similarity import agreement, soft_jaccard

DOCUMENTS = 30


def finals(*firsts: int, noise: float = 0.01) -> np.ndarray:
    """Memberships of ten documents each, from the given first one on."""
    generator = np.random.default_rng(0)
    rows = np.zeros((len(firsts), DOCUMENTS))
    for row, first in zip(rows, firsts, strict=True):
        row[first : first + 10] = 1
    return np.clip(rows + generator.normal(scale=noise, size=rows.shape), 0, 1)


def test_finals_that_overlap_are_one_fixed_point_and_the_most_visited_comes_first():
    found, reached = fixed_points(finals(0, 15, 15, 0, 15, 5), np.ones(6, dtype=bool))
    assert [len(point.starts) for point in found] == [3, 2, 1]
    assert reached.tolist() == [1, 0, 0, 1, 0, 2]
    assert found[0].membership[15:25].min() > 0.9


def test_starts_that_still_move_reach_nothing():
    found, reached = fixed_points(finals(0, 0, 15), np.array([True, False, False]))
    assert len(found) == 1 and reached.tolist() == [0, -1, -1]
    assert fixed_points(finals(0, 15), np.zeros(2, dtype=bool))[0] == []


def test_overlaps_are_soft_jaccards():
    rows = np.random.default_rng(1).random((4, DOCUMENTS))
    found = overlaps(rows, rows[:2])
    for row in range(4):
        for column in range(2):
            assert found[row, column] == pytest.approx(soft_jaccard(rows[row], rows[column]))


def test_the_topic_that_a_concept_is_most_like_comes_first():
    rows = finals(0, 10, 20)
    assert [topic for topic, _ in most_like(rows[1], rows)][0] == 1


def test_telling_words_are_those_that_members_hold_and_others_do_not():
    membership = finals(0)[0]
    holds = np.zeros((DOCUMENTS, 4), dtype=bool)
    holds[:, 0] = True  # everybody
    holds[:9, 1] = True  # members
    holds[0, 2] = True  # one of them
    holds[20:, 3] = True  # others
    assert telling_words(membership, holds, 2)[0] == 1
    assert telling_words(membership, holds, 4)[-1] == 3


def test_agreement_is_the_least_overlap():
    rows = finals(0, 0, 5)
    assert agreement(list(rows), rows[0]) == pytest.approx(soft_jaccard(rows[0], rows[2]))
    assert agreement([], rows[0]) == 1
