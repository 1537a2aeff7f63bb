"""Drift, contraction, stillness and collapse, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agent.basin.tracking import Exchange, TrackingConfig, collapse, exchanged, is_still, movement

FIRST = np.array([0.0, 0.5, 1.0, 0.2])
SECOND = np.array([0.5, 0.25, 1.0, 0.0])


def test_movement_is_drift_and_its_ratio_to_the_last_drift():
    moved = movement(FIRST, SECOND, 0.5)
    assert moved.drift == pytest.approx(1 - 1.25 / 2.2)
    assert moved.contraction == pytest.approx((1 - 1.25 / 2.2) / 0.5)
    assert movement(FIRST, FIRST, 0.5).contraction == 0


@pytest.mark.parametrize("previous", [None, 0.0])
def test_contraction_has_no_value_without_an_earlier_drift(previous):
    assert movement(FIRST, SECOND, previous).contraction is None


def test_the_exchange_lists_the_largest_change_first():
    topic = np.array([0.9, 0.6, 0.5, 0.1, 0.4, 0.8, 0.2])
    before = np.array([0.9, 0.7, 0.2, 0.6, 0.1, 0.3, 0.3])
    now = np.array([0.8, 0.4, 0.1, 0.5, 0.9, 0.4, 0.49])
    assert exchanged(topic, before, now) == Exchange(
        threw_out=[2, 5, 1],  # by 0.4, 0.4 and 0.2, equal ones in the order of the passages
        took_in=[4, 3],  # 0.5 and 0.4
        entered=[4],
        left=[1],
    )


@pytest.mark.parametrize(
    ("drifts", "still"),
    [
        ([], False),
        ([0.01, 0.01], False),  # before the minimum of rounds
        ([0.3, 0.01, 0.01], True),
        ([0.3, 0.01, 0.02], False),  # the bound itself is not below the bound
        ([0.01, 0.01, 0.3], False),
        ([0.01, 0.3, 0.01], False),  # only one in a row
        ([0.0, 0.0, 0.0, 0.0], True),
    ],
)
def test_still_is_under_the_bound_several_rounds_in_a_row(drifts, still):
    assert is_still(drifts, TrackingConfig(drift_bound=0.02, patience=2, minimum_rounds=3)) is still


GUARDS = TrackingConfig(minimum_size=0.05, maximum_size=0.6, minimum_coherence=0.5, maximum_repetitive=0.4)


@pytest.mark.parametrize(
    ("size", "coherence", "repetitive", "named"),
    [
        (0.04, 1.0, 0.0, ["4.0%", "minimum_size", "5.0%"]),
        (0.61, 1.0, 0.0, ["61.0%", "maximum_size", "60.0%"]),
        (0.2, 0.49, 0.0, ["49%", "readable"]),
        (0.2, 1.0, 0.41, ["41%", "repeat"]),
        (float("nan"), 1.0, 0.0, ["not a number"]),
    ],
)
def test_each_kind_of_collapse_has_its_sentence(size, coherence, repetitive, named):
    sentence = collapse(size, coherence, repetitive, GUARDS)
    assert sentence and all(word in sentence for word in named)


@pytest.mark.parametrize(
    ("size", "coherence", "repetitive"), [(0.05, 0.5, 0.4), (0.6, 1.0, 0.0), (0.2, None, None)]
)
def test_within_the_guards_nothing_has_collapsed(size, coherence, repetitive):
    assert collapse(size, coherence, repetitive, GUARDS) is None
