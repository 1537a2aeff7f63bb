"""Planted sweeps: the attractor and the threshold are found, and too little data gives None."""

from __future__ import annotations

import numpy as np
import pytest
from planted_flows import EDGE, planted_flows, planted_gold

from agent.judging.basin_quality import (
    average_precisions,
    precision_and_recall,
    precisions_at_size,
    same_fixed_point_share,
    share,
    threshold,
)


@pytest.fixture(scope="module")
def flows():
    return planted_flows()


@pytest.fixture(scope="module")
def precision(flows):
    return precisions_at_size(planted_gold(), flows.starts)


def test_precision_at_the_true_size_draws_from_equal_scores_at_random():
    gold = np.array([True, True, False, False, False])
    scores = np.array([[2.0, 1, 0, 0, 0], [1, 0, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [3, 1, 1, 0, 0]])
    assert precisions_at_size(gold, scores) == pytest.approx([1, 0.5, 0.4, 0, 0.75])


def test_without_positive_documents_nothing_is_measured(flows):
    for measure in (average_precisions, precisions_at_size, precision_and_recall):
        with pytest.raises(ValueError, match="no document is positive"):
            measure(np.zeros_like(planted_gold()), flows.final)


def test_precision_and_recall_of_known_members():
    gold = np.array([True, True, True, False, False, False])
    path = np.array([[0.9, 0.8, 0.1, 0.5, 0.2, 0.0], [0.1, 0.2, 0.3, 0.0, 0.0, 0.4]])
    precision, recall = precision_and_recall(gold, path)
    assert precision[0] == pytest.approx(2 / 3) and recall == pytest.approx([2 / 3, 0])
    assert np.isnan(precision[1])  # without members there is no precision
    assert average_precisions(gold, path)[1] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)


def test_starts_flow_up_to_the_concept_when_they_are_good_enough(flows, precision):
    final = average_precisions(planted_gold(), flows.final)
    assert final[flows.fixed_point == 0].min() > 0.75 and final[flows.fixed_point > 0].max() < 0.6
    agreed = same_fixed_point_share(flows.fixed_point, precision)
    assert agreed.fixed_point == 0 and agreed.reached.share == 1
    assert agreed.reached.of == (precision >= 0.5).sum() and 0.95 < agreed.reached.low < 1
    every = same_fixed_point_share(flows.fixed_point, precision, minimum=0.0)
    assert every.reached.of == 300 and every.reached.count == (flows.fixed_point == 0).sum()


def test_unsettled_starts_count_as_failures(flows, precision):
    nowhere = same_fixed_point_share(np.full(300, -1), precision)
    assert nowhere.fixed_point is None and nowhere.reached.count == 0 and nowhere.reached.of > 0
    none = same_fixed_point_share(flows.fixed_point, precision, minimum=1.1)
    assert none.fixed_point is None and none.reached is None


def test_the_wilson_interval_is_the_textbooks():
    found = share(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert share(0, 0) is None


def test_the_planted_threshold_comes_back(flows, precision):
    assert threshold(precision, flows.fixed_point == 0) == pytest.approx(EDGE, abs=0.02)
    rising = np.random.default_rng(2).random(200)
    assert threshold(rising, rising > 0.4) == pytest.approx(0.4, abs=0.03)
    assert threshold(rising, rising < 0.4) is None  # the better, the worse


@pytest.mark.parametrize("good", [True, False])
def test_no_threshold_where_all_or_none_are_good_or_one_start_is_all(good):
    assert threshold(np.linspace(0, 1, 20), np.full(20, good)) is None
    assert threshold(np.array([0.5]), np.array([good])) is None
    assert threshold(np.full(4, 0.5), np.array([True, False, True, False])) is None
