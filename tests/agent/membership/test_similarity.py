"""Soft Jaccard and standardisation by hand."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from agent.membership.similarity import soft_jaccard, standardised

FIRST = np.array([0.0, 0.5, 1.0, 0.2])
SECOND = np.array([0.5, 0.25, 1.0, 0.0])


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        # Smaller: 0 + 0.25 + 1 + 0; larger: 0.5 + 0.5 + 1 + 0.2.
        (FIRST, SECOND, 1.25 / 2.2),
        (FIRST, FIRST, 1),
        (FIRST, FIRST / 2, 0.5),
        (np.array([1.0, 1, 1, 0]), np.array([0.0, 1, 1, 1]), 0.5),
        (np.zeros(3), np.zeros(3), 1),
        (np.zeros(3), np.ones(3), 0),
        (np.zeros(0), np.zeros(0), 1),
    ],
)
def test_soft_jaccard_by_hand(first: np.ndarray, second: np.ndarray, overlap: float) -> None:
    assert soft_jaccard(first, second) == pytest.approx(overlap) == soft_jaccard(second, first)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_membership_that_is_not_a_number_is_refused(wrong):
    for pair in ((FIRST, np.array([wrong, 0, 0, 0])), (np.array([wrong, 0, 0, 0]), FIRST)):
        with pytest.raises(ValueError, match="finite"):
            soft_jaccard(*pair)


def test_memberships_of_different_corpora_are_refused():
    as_people_run_it = inspect.unwrap(soft_jaccard)  # without the shape checks that only tests switch on
    with pytest.raises(ValueError, match="4 and 3"):
        as_people_run_it(FIRST, SECOND[:3])


def test_standardised_by_hand():
    assert standardised(np.array([1.0, 3.0])).tolist() == [-1, 1]
    assert standardised(np.full(3, 2.5)).tolist() == [0, 0, 0]
