"""Average precision and the gap recovered, on runs and readings whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from agent.clustering.config import ClusteringConfig
from agent.concept import Concept
from agent.judging import average_precision
from agent.judging.average_precision import (
    MeasuredRound,
    MeasuredRun,
    Reading,
    measure_membership,
    measure_run,
)
from agent.judging.gold import GoldLabels
from agent.membership.documents import document_mean

DOCUMENTS, PASSAGES = 30, 6
DOCUMENT_OF = np.repeat(np.arange(DOCUMENTS), PASSAGES)
LABELS = np.arange(DOCUMENTS) % 3 == 0
GOLD = LABELS[DOCUMENT_OF]


def labels(counted=None):
    counted = np.ones(DOCUMENTS, dtype=bool) if counted is None else counted
    return GoldLabels(LABELS, counted, "detective", "brown-fiction")


def concept(number, log_odds):
    membership = 1 / (1 + np.exp(-log_odds))
    return Concept(number, membership, single=log_odds, pooled=log_odds, size=float(membership.mean()))


@pytest.fixture
def planted():
    """Topic weights better than chance, and activations that hold the concept along one direction."""
    rng = np.random.default_rng(0)
    weights = 1 / (1 + np.exp(2 - 0.6 * GOLD - rng.normal(size=len(GOLD))))
    activations = rng.normal(size=(len(GOLD), 2, 4))
    activations[:, 1, 2] += 3 * GOLD
    pointer = MeasuredRound(concept(0, np.log(weights / (1 - weights))), {}, {"topics": 2.0, "peak_gb": 0.5})
    return MeasuredRun([pointer], weights, activations, DOCUMENT_OF)


def with_round(run, scores, **metrics):
    cost = {"record": 1.5, "generate": 2.0, "peak_gb": 3.0}
    return replace(run, rounds=[*run.rounds, MeasuredRound(concept(1, scores), metrics, cost)])


def measured(run, gold=None):
    return measure_run(run, gold or labels(), ClusteringConfig(), seed=0)


def test_average_precision_by_hand():
    gold = np.array([True, False, True, False])
    # Positives at rank 1 and 3: (1/1 + 2/3) / 2.
    assert average_precision.average_precision(gold, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(5 / 6)
    # At rank 3 and 4: (1/3 + 2/4) / 2.
    assert average_precision.average_precision(gold, np.array([1.0, 2.0, 0.0, 3.0])) == pytest.approx(5 / 12)


def test_a_perfect_concept_has_precision_one_and_recovers_the_gap_to_a_perfect_ceiling(planted, monkeypatch):
    monkeypatch.setattr(
        average_precision, "cross_fitted_log_odds", lambda features, targets, folds, config: targets
    )
    row = measured(with_round(planted, np.where(GOLD, 4.0, -4.0)))[-1]
    assert row["ap_concept"] == row["ap_concept_pooled"] == row["ap_ceiling"] == 1
    assert row["pgr_single"] == pytest.approx(1)
    assert row["gain_single"] == pytest.approx(1 - row["ap_topic"])


def test_the_pointer_itself_recovers_nothing(planted):
    row = measured(planted)[0]
    assert row["ap_concept"] == pytest.approx(row["ap_topic"])
    assert (row["pgr_single"], row["gain_single"]) == (pytest.approx(0), pytest.approx(0))


def test_the_ceiling_finds_a_planted_direction_on_documents_it_did_not_see(planted):
    row = measured(planted)[0]
    assert row["ap_topic"] < 0.7
    assert row["ap_ceiling"] > 0.9
    assert row["ap_ceiling_pooled"] > 0.99


def test_the_ceiling_does_not_memorise_documents(planted):
    """Activations that tell which document a passage is from, and nothing of the concept."""
    rng = np.random.default_rng(1)
    fingerprint = np.repeat(rng.normal(size=(DOCUMENTS, 2, 4)), PASSAGES, axis=0)
    row = measured(replace(planted, activations=fingerprint))[0]
    assert row["ap_ceiling_pooled"] < 0.6


def test_a_document_scores_the_geometric_mean_of_its_passages():
    single, pooled = average_precision.topic_scores(np.array([0.1, 0.4]), np.array([0, 0]))
    assert single.tolist() == [0.1, 0.4]
    assert pooled == pytest.approx(np.log(0.2))  # the geometric mean of 0.1 and 0.4


@pytest.mark.parametrize(
    ("topic", "ceiling", "recovered"),
    [(0.3, 0.5, 0.5), (0.3, 0.35, 2.0), (0.3, 0.34, None), (0.3, None, None)],
)
def test_the_gap_recovered_means_something_only_where_there_is_a_gap(topic, ceiling, recovered):
    found = average_precision.gap_recovered(0.4, topic, ceiling)
    assert found == (recovered and pytest.approx(recovered))


def test_rows_are_flat_with_the_rounds_own_numbers(planted):
    run = with_round(planted, np.where(GOLD, 4.0, -4.0), drift=0.25, agreement=0.5, coherence=0.75)
    first, last = measured(run)
    assert (first["round"], first["drift"], first["seconds"], first["peak_gb"]) == (0, None, 2.0, 0.5)
    assert (last["round"], last["drift"], last["seconds"], last["peak_gb"]) == (1, 0.25, 3.5, 3.0)
    assert (last["method"], last["corpus"], last["concept"]) == ("basin", "brown-fiction", "detective")
    assert all(isinstance(value, float | int | str | None) for value in last.values())


def test_documents_that_do_not_count_are_left_out(planted):
    """Scores that are wrong for the first six documents, and right for the others."""
    counted = np.arange(DOCUMENTS) >= 6
    run = with_round(planted, np.where(counted[DOCUMENT_OF] == GOLD, 4.0, -4.0))
    assert measured(run)[-1]["ap_concept"] < 0.9
    row = measured(run, labels(counted))[-1]
    assert row["ap_concept"] == 1


def test_folds_keep_documents_whole_and_have_both_kinds():
    folds = average_precision.gold_folds(GOLD, DOCUMENT_OF, 5, seed=3)
    for fold in range(5):
        held_out = folds == fold
        assert set(DOCUMENT_OF[held_out]).isdisjoint(DOCUMENT_OF[~held_out])
        assert set(GOLD[held_out]) == set(GOLD[~held_out]) == {True, False}
    only_one = DOCUMENT_OF == 0
    assert average_precision.gold_folds(only_one, DOCUMENT_OF, 5, seed=3) is None


def test_without_a_ceiling_the_rest_is_still_measured(planted):
    one = GoldLabels(np.arange(DOCUMENTS) == 0, np.ones(DOCUMENTS, dtype=bool), "detective", "brown-fiction")
    row = measured(planted, one)[0]
    assert row["ap_ceiling"] is None and row["pgr_single"] is None
    assert 0 < row["ap_topic"] < 1


PART_GOLD = np.array([True, True, False, False, False, False])
OF_DOCUMENT = np.array([0, 0, 1, 1, 2, 2])
SEEN = np.linspace(-3.0, 3.0, 6)


def reading(unseen, **more) -> Reading:
    unseen = np.asarray(unseen, dtype=float)
    pooled = document_mean(SEEN, OF_DOCUMENT), document_mean(unseen, OF_DOCUMENT)
    return Reading(SEEN, unseen, **{"pooled": pooled, "size": 1 / 3} | more)


def test_a_perfect_reading_has_full_marks_and_its_size():
    found = measure_membership([reading([5, 4, -1, -2, -3, -4])], [PART_GOLD], 1 / 3)
    assert all(found[f"{name}_{kind}"] == 1 for name in ("ap", "precision") for kind in ("single", "pooled"))
    assert found["size_ratio"] == pytest.approx(1) and found["no_concept_flag"] is None


def test_the_document_helps_a_passage_that_is_wrong_alone():
    found = measure_membership([reading([9, -1, 0, 0, -5, -5])], [PART_GOLD], 1 / 3)
    assert found["ap_single"] < 1 and found["ap_pooled"] == 1
    given = reading([9, -1, 0, 0, -5, -5], pooled=(SEEN, np.array([-1.0, -1, 1, 1, 2, 2])))
    assert measure_membership([given], [PART_GOLD], 1 / 3)["ap_pooled"] < 0.5


def test_parts_are_put_together_each_on_the_scale_of_its_seen_texts():
    first = reading([5, 4, -1, -2, -3, -4])
    pooled = tuple(100 * each + 7 for each in first.pooled)
    second = replace(first, seen=100 * SEEN + 7, unseen=100 * first.unseen + 7, pooled=pooled)
    together = measure_membership([first, second], [PART_GOLD, PART_GOLD], 1 / 3)
    assert together["ap_single"] == together["precision_single"] == 1
    assert np.allclose(first.standardised()[0], second.standardised()[0])


def test_flags_are_the_majority_and_seconds_are_added():
    scores = [5, 4, -1, -2, -3, -4]
    parts = [reading(scores, no_concept=flag, seconds=2.0) for flag in (True, True, False)]
    found = measure_membership(parts, [PART_GOLD] * 3, 1 / 3)
    assert found["no_concept_flag"] is True and found["seconds"] == 6
    assert measure_membership(parts[1:], [PART_GOLD] * 2, 1 / 3)["no_concept_flag"] is False


def test_no_gold_passage_is_an_error():
    with pytest.raises(ValueError, match="no passage is positive"):
        measure_membership([reading([1, 2, 3, 4, 5, 6])], [np.zeros(6, dtype=bool)], 1 / 3)
