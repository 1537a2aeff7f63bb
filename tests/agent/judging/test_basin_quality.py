"""Planted sweeps: the attractor and the threshold are found, and too little data gives None."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from planted_flows import EDGE, ROUNDS, planted_flows, planted_gold
from sklearn.metrics import average_precision_score

from agent.basin.tracking import drifts
from agent.judging import basin_quality
from agent.judging.basin_quality import (
    Flows,
    certificate_quality,
    membership_quality,
    quality_curve,
    same_fixed_point_share,
    share,
    start_quality,
    threshold,
)
from agent.membership.similarity import overlap, soft_jaccard


@pytest.fixture(scope="module")
def flows():
    return planted_flows()


def test_average_precision_is_scikit_learns_with_ties_too():
    rng = np.random.default_rng(1)
    gold = rng.random(50) < 0.3
    scores = np.round(rng.normal(size=(4, 5, 50)), 1)
    scores[0, 0] = 0.5
    found = basin_quality.average_precisions(gold, scores)
    for at in np.ndindex(4, 5):
        assert found[at] == pytest.approx(average_precision_score(gold, scores[at]))
    assert found[0, 0] == pytest.approx(gold.mean())


def test_precision_at_the_true_size_draws_from_equal_scores_at_random():
    gold = np.array([True, True, False, False, False])
    scores = np.array([[2.0, 1, 0, 0, 0], [1, 0, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [3, 1, 1, 0, 0]])
    assert basin_quality.precisions_at_size(gold, scores) == pytest.approx([1, 0.5, 0.4, 0, 0.75])


def test_without_positive_documents_nothing_is_measured(flows):
    gold, counted = planted_gold()
    for measure, given in ((start_quality, flows), (membership_quality, flows.final)):
        with pytest.raises(ValueError, match="no document is positive"):
            measure(given, gold & ~counted, counted)


def test_only_counted_documents_are_measured(flows):
    gold, counted = planted_gold()
    degenerate = replace(
        flows, starts=np.where(counted, flows.starts, 99.0), path=np.where(counted, flows.path, 1.0)
    )
    assert np.array_equal(
        start_quality(flows, gold, counted).precision, start_quality(degenerate, gold, counted).precision
    )
    before, after = (
        membership_quality(flows.path, gold, counted),
        membership_quality(degenerate.path, gold, counted),
    )
    assert np.array_equal(before.average_precision, after.average_precision)
    assert np.array_equal(before.recall, after.recall)


def test_precision_and_recall_of_known_members():
    gold, counted = np.array([True, True, True, False, False, False]), np.ones(6, dtype=bool)
    path = np.array([[[0.9, 0.8, 0.1, 0.5, 0.2, 0.0], [0.1, 0.2, 0.3, 0.0, 0.0, 0.4]]])
    flows = Flows(["topic"], [0.0], path[:, 0], path, np.array([0]), np.array([True]))
    found = membership_quality(flows.path, gold, counted)
    assert found.precision[0, 0] == pytest.approx(2 / 3) and found.recall[0].tolist() == [
        pytest.approx(2 / 3),
        0,
    ]
    assert np.isnan(found.precision[0, 1])  # without members there is no precision
    assert found.precision_at_size[0].tolist() == pytest.approx([2 / 3, 2 / 3])
    last = membership_quality(flows.final, gold, counted)
    assert (
        last.average_precision[0]
        == found.average_precision[0, 1]
        == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    )


def test_starts_flow_up_to_the_concept_when_they_are_good_enough(flows):
    gold, counted = planted_gold()
    path, start = membership_quality(flows.path, gold, counted), start_quality(flows, gold, counted)
    assert path.average_precision.shape == (300, ROUNDS + 1)
    assert path.average_precision[flows.fixed_point == 0, -1].min() > 0.75
    assert path.average_precision[flows.fixed_point > 0, -1].max() < 0.6
    agreed = same_fixed_point_share(flows, start)
    assert agreed.fixed_point == 0 and agreed.reached.share == 1
    assert agreed.reached.of == (start.precision >= 0.5).sum() and 0.95 < agreed.reached.low < 1
    every = same_fixed_point_share(flows, start, minimum=0.0)
    assert every.reached.of == 300 and every.reached.count == (flows.fixed_point == 0).sum()


def test_those_that_do_not_settle_count_against_it(flows):
    gold, counted = planted_gold()
    start = start_quality(flows, gold, counted)
    nowhere = same_fixed_point_share(replace(flows, fixed_point=np.full(300, -1)), start)
    assert nowhere.fixed_point is None and nowhere.reached.count == 0 and nowhere.reached.of > 0
    none = same_fixed_point_share(flows, start, minimum=1.1)
    assert none.fixed_point is None and none.reached is None


def test_the_wilson_interval_is_the_textbooks():
    found = share(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert share(0, 0) is None


def test_the_planted_threshold_comes_back(flows):
    gold, counted = planted_gold()
    precision = start_quality(flows, gold, counted).precision
    found = threshold(precision, flows.fixed_point == 0, resamples=100)
    assert found.half == pytest.approx(EDGE, abs=0.02) and found.half < found.nine_tenths < 0.55
    assert found.low < found.half < found.high and found.high - found.low < 0.06
    assert found == threshold(precision, flows.fixed_point == 0, resamples=100)


def test_a_sharp_threshold_has_a_place_and_unrelated_success_a_wide_interval_or_none():
    rng = np.random.default_rng(2)
    precision = rng.random(200)
    assert threshold(precision, precision > 0.4, resamples=50).half == pytest.approx(0.4, abs=0.03)
    unrelated = threshold(precision, rng.random(200) < 0.5, resamples=100)
    assert unrelated.low is None or unrelated.high - unrelated.low > 0.3
    assert threshold(precision, precision < 0.4, resamples=10).half is None  # the better, the worse


@pytest.mark.parametrize("good", [True, False])
def test_no_threshold_where_all_or_none_are_good_or_one_start_is_all(good):
    nothing = basin_quality.Threshold(None, None, None, None)
    assert threshold(np.linspace(0, 1, 20), np.full(20, good)) == nothing
    assert threshold(np.array([0.5]), np.array([good])) == nothing
    assert threshold(np.full(4, 0.5), np.array([True, False, True, False])) == nothing


def test_the_curve_is_of_each_bins_own_starts():
    precision = np.array([0.05, 0.3, 0.31, 0.39, 1.0])
    found = quality_curve(precision, np.array([0.1, 0.2, 0.4, 0.3, 0.9]), bins=10)
    assert found.count.tolist() == [1, 0, 0, 3, 0, 0, 0, 0, 0, 1]
    assert found.median[[0, 3, 9]].tolist() == pytest.approx([0.1, 0.3, 0.9])
    assert (found.low[3], found.high[3]) == (pytest.approx(0.22), pytest.approx(0.38))
    assert np.isnan(found.median[1])


def test_a_certificate_is_measured_both_ways():
    certified, right = np.array([True, True, True, False]), np.array([True, True, False, True])
    found = certificate_quality(certified, right)
    assert (found.precision.count, found.precision.of, found.recall.count, found.recall.of) == (2, 3, 2, 3)
    nothing = np.zeros(4, dtype=bool)
    assert certificate_quality(nothing, right).precision is None
    assert certificate_quality(certified, nothing).recall is None


def test_overlap_is_the_loops_soft_jaccard(flows):
    found = drifts(flows.path[:5])
    assert found.shape == (5, ROUNDS)
    for start, step in np.ndindex(found.shape):
        two = flows.path[start, step], flows.path[start, step + 1]
        assert found[start, step] == pytest.approx(1 - soft_jaccard(*two))
    assert overlap(np.zeros(3), np.zeros(3)) == 1


def test_fields_of_other_lengths_are_refused(flows):
    with pytest.raises(ValueError, match="numbers of starts"):
        replace(flows, kinds=["topic"])
    with pytest.raises((ValueError, TypeCheckError), match="document"):
        replace(flows, starts=flows.starts[:, 1:])
