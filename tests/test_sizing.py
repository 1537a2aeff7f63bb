"""The size of a planted cluster, found again from two witnesses that err independently."""

from __future__ import annotations

import numpy as np
import pytest

from agent.sizing import SIZES, choose_size, kappa, top

DOCUMENTS = 400


def witnesses(size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two scores of documents that share a cluster of a size, and nothing else."""
    generator = np.random.default_rng(seed)
    inside = 3.0 * (generator.permutation(DOCUMENTS) < size * DOCUMENTS)
    return inside + generator.normal(size=DOCUMENTS), inside + generator.normal(size=DOCUMENTS)


@pytest.mark.parametrize("size", [0.1, 0.3])
@pytest.mark.parametrize("wrong", [1 / 1.5, 1.5])
def test_a_planted_size_is_found_nearer_than_the_prior_had_it(size, wrong):
    for seed in range(5):
        found, _ = choose_size(*witnesses(size, seed), size * wrong)
        assert size / 1.5 < found < size * 1.5
        assert abs(np.log(found / size)) < abs(np.log(wrong))


def test_witnesses_that_share_nothing_leave_the_prior():
    generator = np.random.default_rng(0)
    for claimed in (0.05, 0.2, 0.4):
        found, _ = choose_size(
            generator.normal(size=DOCUMENTS), generator.normal(size=DOCUMENTS), claimed=claimed
        )
        assert claimed / 2 <= found <= claimed * 2


def test_the_curve_has_every_size_and_its_maximum_is_chosen():
    found, curve = choose_size(*witnesses(0.2, 7), 0.2)
    assert tuple(size for size, _ in curve) == SIZES
    scores = [score for _, score in curve]
    assert dict(curve)[found] == max(scores) > min(scores) > 0
    assert SIZES[0] == pytest.approx(0.02) and SIZES[-1] == pytest.approx(0.5)


def test_the_prior_pulls_the_size_towards_what_is_claimed():
    pointer, evidence = witnesses(0.2, 3)
    sizes = [choose_size(pointer, evidence, claimed)[0] for claimed in (0.03, 0.2, 0.5)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_kappa_is_one_for_the_same_zero_for_independent_and_negative_for_opposite_claims():
    half, other = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert kappa(half, half) == 1
    assert kappa(half, other) == 0
    assert kappa(half, ~half) == -1
    assert kappa(half, other) == kappa(other, half)


def test_kappa_by_hand():
    # Agree on 3 of 4; by chance 1/4 * 1/2 + 3/4 * 1/2 = 1/2.
    first, second = np.array([True, False, False, False]), np.array([True, True, False, False])
    assert kappa(first, second) == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))
    everything = np.ones(4, dtype=bool)
    assert kappa(everything, everything) == 0  # nothing is beyond chance


def test_the_top_is_the_best_scored_share_and_never_empty():
    scores = np.array([0.3, 2.0, -1.0, 0.3, 1.0])
    assert top(scores, 0.4).tolist() == [False, True, False, False, True]
    assert top(scores, 0.6).tolist() == [True, True, False, False, True]  # of equals, the first
    assert top(scores, 0.01).tolist() == [False, True, False, False, False]
    assert top(scores, 1.0).all()
