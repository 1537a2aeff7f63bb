"""Re-clustering on activations with a planted cluster, pointed at by a witness that is only half right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_activations import (
    DOCUMENT_OF,
    DOCUMENTS,
    GOLD,
    LAYERS,
    PASSAGES,
    WIDTH,
    activations_of,
    pointer_of,
)
from sklearn.metrics import average_precision_score

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Reclustering
from agent.clustering.prior import Prior, estimate_prior, no_concept
from agent.clustering.redraw import redraw, settle
from agent.clustering.texts import Texts
from agent.errors import BasinError
from agent.membership.documents import document_mean
from agent.membership.log_odds import sigmoid
from agent.membership.similarity import soft_jaccard

SIZE = 0.25
CONFIG = ClusteringConfig(
    components=16, folds=5, divisions=2, shuffles=29, penalty=0.3, embeddings=False, size=SIZE, trust=0.5
)


@pytest.fixture
def real() -> Texts:
    return Texts(activations_of(GOLD, seed=2), pointer_of(GOLD, DOCUMENT_OF, seed=1))


def changed(**settings) -> ClusteringConfig:
    return CONFIG.model_copy(update=settings)


def anchored(real: Texts, config: ClusteringConfig = CONFIG, claimed: float = SIZE) -> Prior:
    return estimate_prior(real, DOCUMENT_OF, claimed, config, 3)


def redrawn(
    real: Texts, config: ClusteringConfig = CONFIG, rounds: int = 1, generated: Texts | None = None
) -> Reclustering:
    context, drawn = anchored(real, config), None
    for _ in range(rounds):
        drawn = redraw(real, DOCUMENT_OF, drawn, generated, context, config=config, seed=3)
    return drawn


def settled(real: Texts, config: ClusteringConfig = CONFIG) -> Reclustering:
    return settle(real, DOCUMENT_OF, anchored(real, config), config, 3)[-1]


def precision(scores: np.ndarray) -> float:
    return average_precision_score(GOLD, scores)


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_the_concept_is_better_than_its_noisy_pointer(real, trust):
    drawn = settled(real, changed(trust=trust))
    pointer_single = precision(real.pointer_log_odds)
    pointer_pooled = precision(document_mean(real.pointer_log_odds, DOCUMENT_OF))
    assert pointer_single < 0.8 and pointer_pooled < 0.9
    assert precision(drawn.single) > pointer_single + 0.1
    assert precision(drawn.pooled) > pointer_pooled + 0.1
    assert precision(drawn.membership) == pytest.approx(precision(drawn.pooled))


def test_the_settled_members_are_the_planted_ones(real):
    """By the boundary itself, not by rank."""
    inside = settled(real).membership >= 0.5
    assert GOLD[inside].mean() > 0.95
    assert inside[GOLD].mean() > 0.9


def test_settling_ends_where_more_rounds_change_nothing(real):
    context = anchored(real)
    drawn = settle(real, DOCUMENT_OF, context, CONFIG, 3)
    assert 3 <= len(drawn) < 30  # trust falls until round 3
    drifts = [
        1 - soft_jaccard(after.membership, before.membership)
        for before, after in zip(drawn, drawn[1:], strict=False)
    ]
    assert drifts[-1] < 0.002 and all(drift >= 0.002 for drift in drifts[2:-1])
    assert len(settle(real, DOCUMENT_OF, context, CONFIG, 3, bound=0.0, most=4)) == 4


@pytest.mark.parametrize("size", [0.1, 0.4, "claimed"])
def test_membership_has_the_size_of_the_anchor_and_documents_are_one(real, size):
    config = changed(size=size)
    claimed = size if isinstance(size, float) else 0.31
    context = anchored(real, config, claimed)
    assert context.size == claimed and context.found is None
    drawn = redraw(real, DOCUMENT_OF, None, None, context, config=config, seed=3)
    assert drawn.membership.mean() == pytest.approx(claimed, abs=1e-6)
    assert context.membership.mean() == pytest.approx(claimed, abs=1e-6)
    for values in (drawn.membership, drawn.pooled, context.membership):
        assert np.array_equal(values, values[::PASSAGES][DOCUMENT_OF])
    assert len(np.unique(drawn.single)) == len(drawn.single)


def test_the_readout_reads_fresh_texts_and_claims_about_the_size(real):
    drawn, context = redrawn(real, rounds=3), anchored(real)
    readout = drawn.readout
    alone = 1 / (1 + np.exp(readout.threshold - drawn.single))
    assert alone.mean() == pytest.approx(context.size, abs=1e-3)
    own = sigmoid(readout.log_odds(real.activations))
    assert own.mean() == pytest.approx(context.size, abs=0.02)
    fresh = sigmoid(readout.log_odds(activations_of(GOLD, seed=23)))
    assert precision(fresh) > precision(real.pointer_log_odds) + 0.1
    assert fresh.mean() == pytest.approx(context.size, abs=0.04)


@pytest.mark.parametrize("copies", [2, 10])
def test_copies_of_generated_texts_weigh_as_one(real, copies):
    gold = np.arange(100) % 2 == 0
    once = Texts(activations_of(gold, seed=31), 2.0 * gold - 3)
    often = Texts(np.tile(once.activations, (copies, 1, 1)), np.tile(once.pointer_log_odds, copies))
    first, second = (redrawn(real, rounds=2, generated=texts) for texts in (once, often))
    assert second.membership == pytest.approx(first.membership, abs=1e-6)
    assert second.generated == pytest.approx(np.tile(first.generated, copies), abs=1e-6)
    without = redrawn(real, rounds=2)
    assert not np.allclose(first.membership, without.membership, atol=1e-6)
    assert soft_jaccard(first.membership, without.membership) > 0.8


def test_degenerate_texts_of_the_cluster_push_similar_texts_outside(real):
    """Over-steered text lies further along the concept than any real one; marked degenerate, it bends the boundary."""
    gold = np.ones(40, dtype=bool)
    sideways = np.random.default_rng(0).normal(size=(LAYERS, WIDTH))  # as steering pushes
    hard = activations_of(gold, seed=32) + 6 * sideways
    others = Texts(hard[20:], np.full(20, 2.0))
    membership = {}
    for target in (True, False):
        texts = Texts(hard[:20], np.full(20, 2.0), np.full(20, target))
        readout = redrawn(real, rounds=3, generated=texts).readout
        membership[target] = sigmoid(readout.log_odds(others.activations)).mean()
    assert membership[True] < membership[False] - 0.1


def test_generated_texts_of_the_cluster_are_read_as_members(real):
    gold = np.arange(40) % 2 == 0
    drawn = redrawn(real, rounds=3, generated=Texts(activations_of(gold, seed=32), np.full(40, -2.0)))
    assert drawn.generated.shape == (40,)
    assert average_precision_score(gold, drawn.generated) > 0.8


def test_documents_of_one_passage_are_read_as_they_are_placed(real):
    """Without other passages, the single and the pooled reading differ by what each learnt from."""
    rows = slice(0, len(GOLD), PASSAGES)
    short, gold = Texts(real.activations[rows], real.pointer_log_odds[rows]), GOLD[rows]
    config, alone, known = CONFIG.model_copy(update={"trust": 0.0}), np.arange(DOCUMENTS), {}
    drawn = settle(short, alone, estimate_prior(short, alone, SIZE, config, 3), config, 3)[-1]
    assert np.corrcoef(drawn.single, drawn.pooled)[0, 1] > 0.9
    for name, scores in (("pointer", short.pointer_log_odds), ("reading", drawn.single)):
        known[name] = average_precision_score(gold, scores)
    assert known["reading"] > known["pointer"] + 0.05


def test_a_few_documents_of_one_passage_are_read_among_longer_ones(real):
    """The reading alone is learnt from those that have other passages, and holds for those that have none."""
    rows = np.flatnonzero((DOCUMENT_OF >= 40) | (np.arange(len(GOLD)) % PASSAGES == 0))
    texts, of = Texts(real.activations[rows], real.pointer_log_odds[rows]), DOCUMENT_OF[rows]
    drawn = settle(texts, of, estimate_prior(texts, of, SIZE, CONFIG, 3), CONFIG, 3)[-1]
    short = of < 40
    assert np.isfinite(drawn.single).all()
    assert average_precision_score(GOLD[rows][short], drawn.single[short]) > 0.8


def test_one_document_is_too_few(real):
    with pytest.raises(BasinError, match="One document"):
        estimate_prior(real, np.zeros(len(GOLD), dtype=int), SIZE, CONFIG, 3)


def test_few_documents_are_folded_as_far_as_they_go():
    gold = np.array([True, True, False, False, False, False])
    texts, of = Texts(activations_of(gold, seed=41), 2.0 * gold - 1), np.array([0, 0, 1, 1, 2, 2])
    context = estimate_prior(texts, of, 0.3, CONFIG, 0)
    drawn = redraw(texts, of, None, None, context, config=CONFIG, seed=0)
    assert np.isfinite(drawn.single).all() and np.isfinite(drawn.membership).all()
    assert drawn.membership.mean() == pytest.approx(context.size, abs=1e-6)


def test_a_pointer_that_is_spread_over_everything_is_no_concept(real):
    known = anchored(real).z_score
    assert no_concept(known, 0.5, CONFIG) is None
    assert "covers 90% of the documents" in no_concept(known, 0.9, CONFIG)
    assert no_concept(known, 0.9, changed(max_document_spread=1.0)) is None
    assert "hardly better than a shuffled one" in no_concept(0.5, 0.5, CONFIG)


@pytest.mark.parametrize(
    "change",
    [{"activations": np.ones((len(GOLD), LAYERS, WIDTH))}, {"pointer_log_odds": np.full(len(GOLD), -3.0)}],
)
def test_constant_activations_or_a_constant_pointer_are_no_concept_and_divide_nothing_by_zero(real, change):
    same = replace(real, **change)
    context = anchored(same)
    assert context.z_score < CONFIG.min_z_score
    drawn = redraw(same, DOCUMENT_OF, None, None, context, config=CONFIG, seed=3)
    assert np.isfinite(drawn.single).all() and np.isfinite(drawn.membership).all()
    assert np.isfinite(drawn.readout.weights).all()
