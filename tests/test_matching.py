"""Clusters planted in two readers whose coordinates have nothing to do with each other."""

from __future__ import annotations

import numpy as np
import pytest

from agent.anchoring import ClusteringConfig
from agent.errors import BasinError
from agent.matching import best_match, mu, overlap, sides
from agent.tracking import soft_jaccard

CONFIG = ClusteringConfig(components=12, penalty=0.1)
DOCUMENT_OF = np.repeat(np.arange(90), 3)
KIND = (np.arange(90) % 5)[DOCUMENT_OF]
TRUE = (KIND == 0).astype(float)


def reader(seed: int, kinds: np.ndarray = KIND, strength: float = 5.0) -> np.ndarray:
    """Five kinds of document, each about a corner of its own."""
    corners = np.random.default_rng(seed).normal(size=(5, 1, 20))
    noise = np.random.default_rng(seed + 1).normal(size=(len(kinds), 1, 20))
    return (strength * corners[kinds] + noise).astype(np.float32)


def test_half_the_mass_is_generated() -> None:
    weights = mu(30, 10)
    assert weights[:30].sum() == pytest.approx(0.5) and weights[30:].sum() == pytest.approx(0.5)
    assert mu(4, 0).tolist() == [0.25] * 4
    with pytest.raises(BasinError, match="no texts"):
        mu(0, 0)


def test_masses_add_up_and_equal_memberships_share_everything() -> None:
    first, second = np.random.default_rng(0).random((2, 50))
    found = overlap(first, second, mu(40, 10))
    assert found.size_first == pytest.approx(mu(40, 10) @ first)
    assert found.size_second == pytest.approx(mu(40, 10) @ second)
    sharp = (first > 0.5).astype(float)
    assert overlap(sharp, sharp, mu(50, 0)).jaccard == 1 and overlap(sharp, 1 - sharp, mu(50, 0)).shared == 0


def test_a_planted_cluster_is_found_without_a_map() -> None:
    best = best_match(TRUE, reader(5), DOCUMENT_OF, config=CONFIG, seed=0)[0]
    assert best.overlap.jaccard > 0.95
    assert soft_jaccard(best.membership, TRUE) > 0.95


def test_two_kinds_are_a_union() -> None:
    two = np.isin(KIND, (1, 3)).astype(float)
    found = {each.kind: each for each in best_match(two, reader(5), DOCUMENT_OF, config=CONFIG, seed=0)[::-1]}
    assert found["union"].overlap.jaccard > 0.95 > 0.6 > found["component"].overlap.jaccard


def test_generated_texts_are_matched_too() -> None:
    kinds = np.concatenate([KIND, np.tile(np.arange(5), 8)])
    told = (kinds == 0).astype(float)
    best = best_match(told, reader(5, kinds), DOCUMENT_OF, config=CONFIG, seed=0)[0]
    assert soft_jaccard(best.membership[len(KIND) :], told[len(KIND) :]) > 0.9


def test_a_reader_s_own_clusters_are_taken() -> None:
    topics = np.eye(5)[KIND]
    best = best_match(TRUE, reader(5), DOCUMENT_OF, config=CONFIG, seed=0, components=topics)[0]
    assert best.overlap.jaccard == 1 and best.name == "0"


def test_nothing_is_found_where_there_is_nothing() -> None:
    shuffled = TRUE[::3][np.random.default_rng(0).permutation(90)][DOCUMENT_OF]
    candidates = best_match(shuffled, reader(5), DOCUMENT_OF, config=CONFIG, seed=0)
    assert all(each.overlap.jaccard < 0.4 for each in candidates)


def test_sides_divide_what_is_claimed() -> None:
    parts = sides(np.array([0.9, 0.9, 0.1, 0.1]), np.array([0.9, 0.1, 0.9, 0.1]), 0.5)
    assert {name: np.flatnonzero(part).tolist() for name, part in parts.items()} == {
        "both": [0],
        "only the concept": [1],
        "only the match": [2],
    }


@pytest.mark.parametrize("told", [np.zeros(270), np.ones(270)])
def test_a_concept_that_claims_nothing_or_everything_is_refused(told: np.ndarray) -> None:
    with pytest.raises(BasinError, match="nothing, or everything"):
        best_match(told, reader(5), DOCUMENT_OF, config=CONFIG, seed=0)


def test_one_document_is_refused() -> None:
    with pytest.raises(BasinError, match="One document"):
        best_match(np.array([0.9, 0.1, 0.5]), reader(5)[:3], np.zeros(3, int), config=CONFIG, seed=0)
