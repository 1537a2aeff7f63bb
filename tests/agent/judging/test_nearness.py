"""Distances between samples whose distance is known."""

from functools import partial
from itertools import combinations, product

import numpy as np
import pytest

from agent.errors import BasinError
from agent.judging.nearness import (
    divergence_area,
    energy_distance,
    mauve,
    null_values,
    permutation_p_value,
)


def sample(seed, size, shift=0.0, dimension=8):
    return np.random.default_rng(seed).normal(size=(size, dimension)) + shift


def test_energy_distance_by_hand():
    ours, theirs = sample(0, 4), sample(1, 3, 1.0)
    between = np.mean([np.linalg.norm(x - y) for x, y in product(ours, theirs)])
    within = [np.mean([np.linalg.norm(x - y) for x, y in combinations(each, 2)]) for each in (ours, theirs)]
    assert energy_distance(ours, theirs) == pytest.approx(2 * between - sum(within))


def test_energy_distance_is_unbiased_at_unequal_sizes():
    values = [energy_distance(sample(seed, 10), sample(1000 + seed, 60)) for seed in range(200)]
    # Counting each text with itself would add about 0.4 here.
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / np.sqrt(200))
    assert min(values) < 0
    assert energy_distance(sample(0, 10, 1.0), sample(1, 60)) > max(values)


def test_the_p_value_tells_a_shift_from_none():
    assert permutation_p_value(sample(0, 30, 0.5), sample(1, 50), seed=0) == pytest.approx(1 / 500)
    values = [
        permutation_p_value(sample(seed, 12), sample(99 + seed, 20), seed, repeats=99) for seed in range(60)
    ]
    assert 0.35 < np.mean(values) < 0.65


def test_the_p_value_counts_the_same_distance_as_the_function():
    ours, theirs = sample(0, 6), sample(1, 9, 0.3)
    rng, both = np.random.default_rng(5), np.concatenate([ours, theirs])
    values = []
    for _ in range(40):
        side = np.zeros(15, dtype=bool)
        side[rng.permutation(15)[:6]] = True
        values.append(energy_distance(both[side], both[~side]))
    expected = (1 + sum(value >= energy_distance(ours, theirs) for value in values)) / 41
    assert permutation_p_value(ours, theirs, seed=5, repeats=40) == pytest.approx(expected)


def test_the_area_under_the_curve_at_both_ends():
    p = np.array([0.2, 0.3, 0.5, 0.0])
    assert divergence_area(p, p) == pytest.approx(1)
    # Disjoint: the curve is y = w^5, x = (1 - w)^5, whose area is 5 B(6, 5).
    exact = 5 * 120 * 24 / 3628800
    assert divergence_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(exact, rel=0.01)


def test_the_area_is_symmetric_and_falls_as_histograms_part():
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.2, 0.7])
    assert divergence_area(p, q) == pytest.approx(divergence_area(q, p))
    areas = [divergence_area(p, (1 - part) * p + part * q) for part in (0, 0.3, 0.6, 1)]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] < 0.6


def test_mauve_of_one_distribution_and_of_two():
    real = sample(0, 300)
    assert mauve(real.copy(), real, seed=0) == pytest.approx(1)
    assert mauve(sample(1, 200), real, seed=0) > 0.8
    # As many directions as dimensions, and opposite ones.
    assert mauve(np.abs(sample(2, 200)) + 3, -np.abs(real) - 3, seed=0) < 0.01
    assert mauve(np.ones((4, 3)), np.ones((5, 3)), seed=0) == 1


def test_mauve_is_the_same_for_the_same_seed():
    ours, real = sample(0, 50, 0.3), sample(1, 80)
    assert mauve(ours, real, seed=3) == mauve(ours, real, seed=3)


def test_the_floor_is_what_the_same_distribution_scores():
    real = sample(0, 120)
    floor = null_values(energy_distance, real, 40, seed=0)
    assert abs(floor.mean()) < 0.05
    assert energy_distance(sample(5, 40), real) < np.quantile(floor, 0.99) + 0.05
    assert energy_distance(sample(5, 40, 0.5), real) > floor.max()
    assert np.array_equal(floor, null_values(energy_distance, real, 40, seed=0))
    assert (null_values(partial(mauve, seed=0), real, 40, seed=0, repeats=3) > 0.5).all()


def test_a_floor_of_whole_documents_is_higher_where_documents_differ():
    document_of = np.repeat(np.arange(12), 10)
    real = sample(0, 120) + sample(1, 12)[document_of]
    alone = null_values(energy_distance, real, 40, seed=0)
    whole = null_values(energy_distance, real, 40, seed=0, document_of=document_of)
    assert whole.mean() > alone.max()


def test_no_document_is_on_both_sides_of_a_floor():
    seen = []

    def spy(drawn, rest):
        seen.append(set(drawn[:, 0]) & set(rest[:, 0]) or len(drawn) != 25)
        return 0.0

    document_of = np.repeat(np.arange(12), 10)
    null_values(spy, document_of[:, None].astype(float), 25, 0, document_of, repeats=5)
    assert seen == [False] * 5


def test_too_few_texts_are_refused():
    for measure in (energy_distance, partial(mauve, seed=0), partial(permutation_p_value, seed=0)):
        with pytest.raises(BasinError, match="two texts"):
            measure(sample(0, 1), sample(1, 5))
    with pytest.raises(BasinError, match="too few"):
        null_values(energy_distance, sample(0, 10), 9, seed=0)


def test_samples_chosen_from_one_pool_are_not_near_for_what_they_share():
    """Two halves of one distribution that overlap: at no distance in the mean, once nothing is compared with itself."""
    rng = np.random.default_rng(0)
    naive, fair = [], []
    for _ in range(60):
        pool = rng.normal(size=(40, 3))
        first, second = (rng.permutation(40)[:20] for _ in range(2))
        naive.append(energy_distance(pool[first], pool[second]))
        fair.append(energy_distance(pool[first], pool[second], first[:, None] == second[None]))
    assert np.mean(naive) < -0.05
    assert np.mean(fair) == pytest.approx(0, abs=0.02)
