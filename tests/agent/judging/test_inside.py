"""Who is inside, on judgements written by hand."""

import numpy as np
import pytest

from agent.judging.decisions import Judgement, RealPassages
from agent.judging.inside import agreement, cluster_scores, inside, measure_inside

GOLD = np.array([True, True, True, False, False])
REAL = RealPassages(["a", "b", "c", "d", "e"], GOLD, np.arange(5))


def judgement(generated, members=0.8, non_members=0.2, real=(0.9, 0.8, 0.4, 0.1, 0.3), auc=0.9):
    by_name = {"basin": np.array(generated, dtype=float)}
    return Judgement(auc, members, non_members, by_name, np.array(real, dtype=float))


def test_every_judge_is_put_on_the_scale_of_real_passages():
    pair = [judgement([0.2, 0.8, 0.5]), judgement([0.4, 0.6, 1.0], members=0.6, non_members=0.4)]
    assert cluster_scores(pair, "basin") == pytest.approx(np.array([[0, 1, 0.5], [0, 1, 3]]))


def test_a_text_is_inside_by_the_mean_of_its_judges():
    scores = np.array([[0.0, 1.0, 0.9, 0.4, np.nan], [0.0, 1.0, 0.2, 0.5, 2.0]])
    assert inside(scores).tolist() == [False, True, True, False, False]
    assert inside(np.array([[0.5]])).tolist() == [True]


def test_the_report_by_hand():
    pair = [judgement([0.9, 0.9, 0.1, np.nan])] * 2
    report = measure_inside(pair, "basin", REAL, np.array([True, False, True, True]))
    assert report.inside.tolist() == [True, True, False, False]
    assert (report.share, report.readable_share, report.too_short) == (0.5, 0.25, 1)
    assert report.real_members == pytest.approx(2 / 3) and report.real_non_members == 0
    assert measure_inside(pair, "basin", REAL).readable_share is None


def test_real_passages_too_short_to_judge_are_not_counted():
    pair = [judgement([0.9], real=(np.nan, 0.8, 0.4, 0.1, 0.9))] * 2
    report = measure_inside(pair, "basin", REAL)
    assert (report.real_members, report.real_non_members) == (0.5, 0.5)


def test_by_a_judge_that_tells_nothing_nothing_can_be_said():
    pair = [judgement([0.9]), judgement([0.9], members=0.5, non_members=0.5)]
    report = measure_inside(pair, "basin", REAL, np.array([True]))
    assert (report.share, report.readable_share, report.real_members) == (None, None, None)
    assert not report.inside.any()
    assert agreement(tuple(pair), "basin") is None


def test_a_judge_near_chance_is_not_asked():
    near = judgement([0.9], members=0.501, non_members=0.5, auc=0.57)
    assert np.isnan(cluster_scores([near], "basin")).all()
    assert measure_inside([judgement([0.9]), near], "basin", REAL).share is None
    assert cluster_scores([judgement([0.8], auc=0.6)], "basin") == pytest.approx(np.array([[1.0]]))


def test_agreement_by_hand():
    pair = (
        judgement([0.1, 0.4, 0.6, 0.9, np.nan]),
        judgement([0.2, 0.3, 0.4, 0.8, 0.9]),
    )
    assert agreement(pair, "basin") == pytest.approx(1)
    assert agreement((judgement([0.1, 0.4, 0.9]), judgement([0.9, 0.4, 0.1])), "basin") == pytest.approx(-1)
    assert agreement((judgement([0.1] * 4), judgement([0.2] * 4)), "basin") is None
    rng = np.random.default_rng(0)
    by_chance = agreement((judgement(rng.random(2000)), judgement(rng.random(2000))), "basin")
    assert by_chance == pytest.approx(0, abs=0.07)
