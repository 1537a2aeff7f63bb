"""What is measured on unseen documents: known answers, and readings on scales of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.judging.average_precision import (
    Reading,
    best_gap,
    calibration_error,
    measure_membership,
    precision_at_size,
)
from agent.membership.log_odds import sigmoid

GOLD = np.array([True, True, False, False, False, False])
DOCUMENT_OF = np.array([0, 0, 1, 1, 2, 2])
SEEN = np.linspace(-3.0, 3.0, 6)


def reading(unseen, **more) -> Reading:
    return Reading(SEEN, np.asarray(unseen, dtype=float), DOCUMENT_OF, DOCUMENT_OF, 1 / 3, **more)


def test_a_perfect_reading_has_full_marks_and_its_size():
    found = measure_membership([reading([5, 4, -1, -2, -3, -4])], [GOLD], 1 / 3)
    assert [found[name] for name in ("ap_single", "ap_pooled", "precision_single", "precision_pooled")] == [
        1
    ] * 4
    assert found["size_ratio"] == pytest.approx(1) and found["no_concept_flag"] is None


def test_the_document_helps_a_passage_that_is_wrong_alone():
    found = measure_membership([reading([9, -1, 0, 0, -5, -5])], [GOLD], 1 / 3)
    assert found["ap_single"] < 1 and found["ap_pooled"] == 1
    given = reading([9, -1, 0, 0, -5, -5], pooled=(SEEN, np.array([-1.0, -1, 1, 1, 2, 2])))
    assert measure_membership([given], [GOLD], 1 / 3)["ap_pooled"] < 0.5


def test_parts_are_put_together_each_on_the_scale_of_its_seen_texts():
    first = reading([5, 4, -1, -2, -3, -4])
    second = replace(first, seen=100 * SEEN + 7, unseen=100 * first.unseen + 7)
    together = measure_membership([first, second], [GOLD, GOLD], 1 / 3)
    assert together["ap_single"] == together["precision_single"] == 1
    assert np.allclose(first.standardised()[0], second.standardised()[0])


def test_flags_are_the_majority_and_seconds_are_added():
    scores = [5, 4, -1, -2, -3, -4]
    parts = [reading(scores, no_concept=flag, seconds=2.0) for flag in (True, True, False)]
    found = measure_membership(parts, [GOLD] * 3, 1 / 3)
    assert found["no_concept_flag"] is True and found["seconds"] == 6
    assert measure_membership(parts[1:], [GOLD] * 2, 1 / 3)["no_concept_flag"] is False


def test_no_gold_passage_is_an_error():
    with pytest.raises(ValueError, match="no passage is positive"):
        measure_membership([reading([1, 2, 3, 4, 5, 6])], [np.zeros(6, dtype=bool)], 1 / 3)


def test_a_reading_of_what_it_has_seen_claims_its_size():
    again = replace(reading(SEEN), seen=SEEN)
    assert again.membership().mean() == pytest.approx(1 / 3)


def test_precision_at_size_looks_at_as_many_as_belong():
    assert precision_at_size(GOLD, np.array([3.0, 1, 2, 0, 0, 0])) == 0.5


def test_calibration_error_is_near_zero_for_true_probabilities_and_large_for_overconfident_ones():
    generator = np.random.default_rng(0)
    log_odds = generator.normal(size=20_000)
    gold = generator.random(20_000) < sigmoid(log_odds)
    assert calibration_error(gold, sigmoid(log_odds)) < 0.02
    assert calibration_error(gold, sigmoid(8 * log_odds)) > 0.15
    assert calibration_error(gold, np.ones(20_000)) == pytest.approx(1 - gold.mean())


def test_the_best_gap_is_what_the_last_round_gave_away():
    good, bad = reading([5, 4, -1, -2, -3, -4]), reading([-4, -3, 5, 4, 1, 2])
    assert best_gap([[bad, good]], [GOLD]) == 0
    lost = best_gap([[good, bad]], [GOLD])
    assert lost == pytest.approx(1 - measure_membership([bad], [GOLD], 1 / 3)["ap_single"])
    # A part that settled early stays as it is while the other goes on.
    assert best_gap([[good], [bad, good]], [GOLD, GOLD]) == 0
