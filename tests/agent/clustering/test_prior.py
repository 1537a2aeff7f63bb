"""The size of a planted cluster, found again between two bounds."""

from __future__ import annotations

import numpy as np
import pytest

from agent.clustering.prior import choose_size

PASSAGES = 4000


def planted(size: float, purity: float, claimed: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Evidence of a cluster of a size, and surest passages of which a share belongs, whatever their evidence."""
    generator = np.random.default_rng(seed)
    inside = generator.permutation(PASSAGES) < size * PASSAGES
    evidence = 3.0 * inside + generator.normal(size=PASSAGES)
    surest = np.zeros(PASSAGES, dtype=bool)
    right = round(purity * claimed * PASSAGES)
    surest[generator.choice(np.flatnonzero(inside), right, replace=False)] = True
    wrong = round((1 - purity) * claimed * PASSAGES)
    surest[generator.choice(np.flatnonzero(~inside), wrong, replace=False)] = True
    return evidence, surest


@pytest.mark.parametrize("size", [0.1, 0.3])
@pytest.mark.parametrize("purity", [1.0, 0.7])
def test_the_upper_bound_is_the_size_over_the_purity_of_the_surest(size, purity):
    evidence, surest = planted(size, purity, size / 3, 0)
    _, curve = choose_size(evidence, surest, size / 3)
    assert min(bound for _, bound in curve) == pytest.approx(size / purity, rel=0.15)


@pytest.mark.parametrize("size", [0.1, 0.3])
def test_the_size_is_between_mass_and_upper_bound_and_nearer_than_the_mass(size):
    for seed in range(5):
        evidence, surest = planted(size, 0.8, size / 3, seed)
        found, curve = choose_size(evidence, surest, size / 3)
        assert size / 3 < found < min(bound for _, bound in curve)
        assert abs(np.log(found / size)) < abs(np.log(1 / 3))


def test_random_evidence_gives_no_bound():
    generator = np.random.default_rng(0)
    found, curve = choose_size(generator.normal(size=PASSAGES), generator.random(PASSAGES) < 0.1, 0.1)
    assert min(bound for _, bound in curve) > 0.7
    assert found == pytest.approx(np.sqrt(0.1), rel=0.2)


def test_a_bound_below_the_mass_leaves_the_mass():
    evidence, surest = planted(0.05, 1.0, 0.05, 2)
    assert choose_size(evidence, surest, 0.4)[0] == pytest.approx(0.4)


def test_nothing_to_bound_with_is_refused():
    with pytest.raises(ValueError, match="no upper bound"):
        choose_size(np.zeros(4), np.zeros(4, dtype=bool), 0.1)
