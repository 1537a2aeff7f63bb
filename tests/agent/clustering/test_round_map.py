"""The round map on planted activations: where it flows, whether it contracts there, and what a kick does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, DOCUMENTS, GOLD, pointer_of
from planted_round_map import ridge

from agent.basin.tracking import drifts
from agent.clustering.round_map import RoundMap, Schedule, contraction, shuffled
from agent.membership.documents import document_means
from agent.membership.similarity import soft_jaccard

MEMBERS = GOLD[:: len(DOCUMENT_OF) // DOCUMENTS]


@pytest.fixture(scope="module")
def round_map() -> RoundMap:
    return RoundMap((ridge(), ridge(seed=1)), DOCUMENT_OF, 0.25, 8.0)


@pytest.fixture(scope="module")
def pointer() -> np.ndarray:
    return document_means(pointer_of(GOLD, DOCUMENT_OF, 1), DOCUMENT_OF)


def test_trust_fades_to_nothing_and_a_held_one_does_not():
    assert [Schedule(5).trust(number) for number in (0, 1, 4, 5, 9)] == pytest.approx([1, 0.8, 0.2, 0, 0])
    assert Schedule(5, 0.3).trust(9) == 0.3 and Schedule(5, 0.3).still_falls == 4
    assert {Schedule(5, least=1.0).trust(number) for number in range(9)} == {1.0}


def test_memberships_have_the_size_whatever_the_scores(round_map):
    for scores in (np.arange(DOCUMENTS), np.random.default_rng(0).normal(size=DOCUMENTS) ** 3):
        assert round_map.membership(scores * 1.0).mean() == pytest.approx(0.25, abs=1e-6)
    assert round_map.membership(np.zeros(DOCUMENTS)).mean() == pytest.approx(0.25, abs=1e-6)


def test_starts_that_are_better_than_chance_flow_to_the_planted_members(round_map, pointer):
    ends = [round_map.flow(shuffled(pointer, share, 1), Schedule(5), 15)[-1] for share in (0.0, 0.3, 0.6)]
    for end in ends:
        assert soft_jaccard(end, MEMBERS.astype(float)) > 0.9
        assert soft_jaccard(end, ends[0]) > 0.97


def test_a_held_pointer_keeps_its_own_fixed_point(round_map, pointer):
    wrong = shuffled(pointer, 0.6, 1)
    held, faded = (round_map.flow(wrong, Schedule(5, least), 15)[-1] for least in (1.0, 0.0))
    true = MEMBERS.astype(float)
    assert soft_jaccard(held, true) < soft_jaccard(faded, true) - 0.2


def test_at_the_fixed_point_the_map_contracts_and_kicks_are_undone(round_map, pointer):
    path = round_map.flow(pointer, Schedule(5), 20)
    assert drifts(path)[-1] < 0.01
    eigenvalue = round_map.eigenvalue(path[-1], 0)
    assert 0 < eigenvalue < 0.9
    assert soft_jaccard(round_map.kicked(path[-1], 0.3, 12, 5), path[-1]) > 0.97


def test_the_eigenvalue_is_that_of_the_jacobian(pointer):
    small = RoundMap((ridge(),), DOCUMENT_OF, 0.25, 2.0)
    end = small.settled(small.membership(pointer), 60, still=1e-9)
    step = 1e-4
    columns = [
        (small.step(end + step * unit) - small.step(end - step * unit)) / (2 * step)
        for unit in np.eye(DOCUMENTS)
    ]
    exact = np.abs(np.linalg.eigvals(np.stack(columns, axis=1))).max()
    assert small.eigenvalue(end, 0) == pytest.approx(exact, rel=0.05)


def test_a_matrix_of_each_view_gives_the_scores_of_the_classifiers(round_map, pointer):
    fast = replace(round_map, operators=tuple(each.operator(DOCUMENT_OF) for each in round_map.ridges))
    start = round_map.membership(pointer)
    assert fast.scores(start) == pytest.approx(round_map.scores(start), abs=1e-9)
    assert fast.step(start, pointer, 0.5) == pytest.approx(round_map.step(start, pointer, 0.5), abs=1e-9)


def test_shuffling_keeps_the_values_and_most_places():
    values = np.arange(50.0)
    dealt = shuffled(values, 0.2, 0)
    assert sorted(dealt) == sorted(values) and 0 < (dealt != values).sum() <= 10
    assert (shuffled(values, 0.0, 0) == values).all()


def test_contraction_is_the_median_ratio_of_drifts_that_are_more_than_rounding():
    assert contraction([0.4, 0.2, 0.1, 0.05]) == pytest.approx(0.5)
    assert contraction([0.4, 0.2, 1e-9, 1e-12]) == pytest.approx(0.5)
    assert contraction([0.0, 0.0]) is None and contraction([0.3]) is None
