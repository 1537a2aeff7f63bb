"""How far trust falls, and the size that is found, on planted activations."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, activations_of, pointer_of, shuffled

from agent.clustering.config import ClusteringConfig
from agent.clustering.descent import (
    LEVELS,
    Level,
    descend,
    size_and_trust,
    stable_run,
    stable_size,
)
from agent.clustering.prior import estimate_prior, size_sentence, trust_sentence
from agent.clustering.round_map import RoundMap
from agent.clustering.texts import Texts, View
from agent.membership.documents import document_means
from agent.membership.similarity import soft_jaccard

CONFIG = ClusteringConfig(components=12, folds=4, divisions=2, shuffles=9, embeddings=False)
POINTER = document_means(pointer_of(GOLD, DOCUMENT_OF, 1), DOCUMENT_OF)
MEMBERS = document_means(GOLD.astype(float), DOCUMENT_OF)


def maps_of(strength: float = 4.0, confounder: float = 0.0) -> list[RoundMap]:
    """Maps of planted members, beside another and larger contrast that the pointer does not know."""
    activations = activations_of(GOLD, 2, strength)
    other = (np.arange(len(MEMBERS)) % 3 == 0)[DOCUMENT_OF]
    activations[:, 0, :4] += confounder * other[:, None]
    view = View.of(activations, CONFIG.components).features
    return [RoundMap.of_views([view], DOCUMENT_OF, 0.25, CONFIG, seed) for seed in range(3)]


def test_trust_falls_to_nothing_where_the_concept_stands_alone():
    found = descend(maps_of(), POINTER, 0)
    assert found.least == 0 and found.stopped is None
    assert soft_jaccard(found.states[0], MEMBERS) > 0.9


def test_trust_stops_before_the_concept_leaves_for_a_larger_contrast():
    found = descend(maps_of(strength=1.5, confounder=3.0), POINTER, 0)
    assert 0 < found.least < 1 and found.stopped
    assert soft_jaccard(found.states[0], MEMBERS) > 0.6
    assert found.levels[-1].lost(found.levels[0]) and not found.levels[-2].lost(found.levels[0])


@pytest.mark.parametrize(
    ("level", "clause"),
    [
        (Level(0.5, 0.7, 1.0, 0.5), "other folds"),
        (Level(0.5, 0.9, 0.8, 0.5), "kicked"),
        (Level(0.5, 0.9, 1.0, 0.4), "leave its pointer"),
    ],
)
def test_each_sign_can_stop_it(level, clause):
    assert clause in level.lost(Level(1.0, 0.9, 1.0, 0.5))
    assert Level(0.5, 0.85, 0.95, 0.48).lost(Level(1.0, 0.9, 1.0, 0.5)) is None


def test_the_size_is_found_within_a_factor_of_one_and_a_half():
    found = stable_size(maps_of(), POINTER, LEVELS, 0)
    assert found.low <= found.size <= found.high
    assert 0.25 / 1.5 < found.size < 0.25 * 1.5


def test_a_wide_valley_is_preferred_to_a_narrow_one_as_deep():
    curve = [(0.05, 0.6), (0.1, 0.9), (0.15, 0.68), (0.2, 0.61), (0.3, 0.65), (0.4, 0.8)]
    assert stable_run(curve, None) == (0.15, 0.3)
    broken = [(size, np.inf if size == 0.2 else value) for size, value in curve]
    assert stable_run(broken, None) == (0.05, 0.05)


@pytest.mark.parametrize(("near", "run"), [(0.02, (0.05, 0.05)), (0.13, (0.15, 0.3)), (9.0, (0.15, 0.3))])
def test_near_a_claim_the_first_valley_on_the_way_down_counts(near, run):
    assert (
        stable_run([(0.05, 0.6), (0.1, 0.9), (0.15, 0.68), (0.2, 0.61), (0.3, 0.65), (0.4, 0.8)], near) == run
    )


def test_where_trust_stays_the_size_is_the_claim():
    maps = maps_of(strength=1.5, confounder=3.0)
    size, found, descent = size_and_trust(maps, POINTER, CONFIG, 0)
    assert size == 0.25 and found is not None and 0 < descent.least < 1
    fixed = CONFIG.model_copy(update={"trust": 0.5})
    size, found, descent = size_and_trust(maps, POINTER, fixed, 0)
    assert (size, descent) == (found.size, None)


def test_the_prior_has_both_and_says_so():
    real = Texts(activations_of(GOLD, 2, 4.0), pointer_of(GOLD, DOCUMENT_OF, 1))
    prior = estimate_prior(real, DOCUMENT_OF, 0.1, CONFIG, 3)
    assert prior.size == prior.found.size and prior.least_trust == 0
    assert "most stable" in size_sentence(prior, CONFIG) and trust_sentence(prior).endswith("to 0.0.")
    given = CONFIG.model_copy(update={"size": 0.2, "trust": 0.4})
    prior = estimate_prior(real, DOCUMENT_OF, 0.2, given, 3)
    assert (prior.size, prior.least_trust, prior.found, prior.descent) == (0.2, 0.4, None, None)


def test_of_many_documents_a_sample_decides(monkeypatch):
    monkeypatch.setattr("agent.clustering.prior.MOST_IN_MATRIX", 80)
    real = Texts(activations_of(GOLD, 2, 4.0), pointer_of(GOLD, DOCUMENT_OF, 1))
    prior = estimate_prior(real, DOCUMENT_OF, 0.1, CONFIG, 3)
    assert 0.25 / 1.5 < prior.size < 0.25 * 1.5 and prior.least_trust < 1
    assert len(prior.membership) == len(DOCUMENT_OF) and prior.membership.mean() == pytest.approx(prior.size)


def test_a_shuffled_pointer_is_not_followed():
    pointer = shuffled(pointer_of(GOLD, DOCUMENT_OF, 1), 5)
    prior = estimate_prior(Texts(activations_of(GOLD, 2), pointer), DOCUMENT_OF, 0.2, CONFIG, 3)
    assert prior.z_score < CONFIG.min_z_score
    assert prior.least_trust == 1 and prior.size == 0.2
