"""Re-clustering on activations with a planted cluster, pointed at by a witness that is only half right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, DOCUMENTS, GOLD, LAYERS, PASSAGES, WIDTH, activations_of
from sklearn.metrics import average_precision_score

from agent import clustering
from agent.clustering import (
    ClusteringConfig,
    Texts,
    cross_fitted_log_odds,
    document_mean,
    document_membership,
    recluster,
)
from agent.errors import BasinError
from agent.evidence import CrossFittedRidge, Projection
from agent.passages import document_folds
from agent.tracking import soft_jaccard
from agent.types import seed_for

SIZE = 0.25
CONFIG = ClusteringConfig(components=16, folds=5, divisions=2)


@pytest.fixture
def real() -> Texts:
    """The pointer's log-odds are right on average, wrong on many passages and on some whole documents."""
    generator = np.random.default_rng(1)
    wrong = generator.normal(size=DOCUMENTS)[DOCUMENT_OF] + generator.normal(size=len(GOLD))
    return Texts(activations_of(GOLD, seed=2), 1.2 * GOLD + wrong - 2)


def claims(pointer_log_odds: np.ndarray) -> np.ndarray:
    return document_membership(document_mean(pointer_log_odds, DOCUMENT_OF), DOCUMENT_OF, SIZE)


def redrawn(real: Texts, config: ClusteringConfig = CONFIG, rounds: int = 1, generated: Texts | None = None):
    claimed = claims(real.pointer_log_odds)
    membership = claimed
    for _ in range(rounds):
        drawn = recluster(real, DOCUMENT_OF, membership, claimed, generated, size=SIZE, config=config, seed=3)
        membership = drawn.membership
    return drawn


def precision(scores: np.ndarray) -> float:
    return average_precision_score(GOLD, scores)


@pytest.mark.parametrize("method", ["self_training", "mixture"])
def test_the_concept_beats_its_pointer_alone_and_on_documents(real, method):
    drawn = redrawn(real, CONFIG.model_copy(update={"method": method}), rounds=3)
    pointer_single = precision(real.pointer_log_odds)
    pointer_pooled = precision(document_mean(real.pointer_log_odds, DOCUMENT_OF))
    assert pointer_single < 0.6 and pointer_pooled < 0.75
    assert precision(drawn.single) > pointer_single + 0.1
    assert precision(drawn.pooled) > pointer_pooled + 0.1
    assert soft_jaccard(drawn.membership, GOLD.astype(float)) > soft_jaccard(
        claims(real.pointer_log_odds), GOLD.astype(float)
    )


def test_without_a_cluster_in_the_activations_the_pointer_stands(real):
    """Activations that know nothing leave the order to the pointer: the classifier has earned no confidence."""
    nothing = replace(real, activations=activations_of(GOLD, seed=5, strength=0))
    drawn = redrawn(nothing)
    assert np.corrcoef(drawn.single, real.pointer_log_odds)[0, 1] > 0.8


def shuffled(real: Texts, seed: int) -> Texts:
    """The pointer's opinions of whole documents, handed to other documents."""
    order = np.random.default_rng(seed).permutation(DOCUMENTS)
    rows = (order[:, None] * PASSAGES + np.arange(PASSAGES)).ravel()
    return replace(real, pointer_log_odds=real.pointer_log_odds[rows])


@pytest.mark.parametrize("method", ["self_training", "mixture"])
def test_a_shuffled_pointer_converges_neither_to_the_concept_nor_to_another_shuffle(real, method):
    config = CONFIG.model_copy(update={"method": method})
    gold = GOLD.astype(float)
    true = redrawn(real, config, rounds=5).membership
    assert soft_jaccard(true, gold) > 0.5
    nulls = [redrawn(shuffled(real, seed), config, rounds=5).membership for seed in range(4)]
    assert max(soft_jaccard(null, gold) for null in nulls) < 0.4
    assert max(soft_jaccard(null, true) for null in nulls) < 0.4
    pairs = [soft_jaccard(nulls[a], nulls[b]) for a in range(4) for b in range(a)]
    assert max(pairs) < 0.4


def test_membership_has_the_size_asked_for_and_documents_are_one(real):
    for size in (0.1, 0.4):
        drawn = recluster(
            real,
            DOCUMENT_OF,
            GOLD.astype(float),
            claims(real.pointer_log_odds),
            None,
            size=size,
            config=CONFIG.model_copy(update={"damping": 0.0}),
            seed=3,
        )
        assert drawn.membership.mean() == pytest.approx(size, abs=1e-6)
        assert np.array_equal(drawn.membership, drawn.membership[::PASSAGES][DOCUMENT_OF])
        assert np.array_equal(drawn.pooled, document_mean(drawn.single, DOCUMENT_OF))


def test_damping_keeps_a_share_of_the_old_membership(real):
    claimed = claims(real.pointer_log_odds)

    def drawn(damping):
        config = CONFIG.model_copy(update={"damping": damping, "steps": 1})
        return recluster(
            real, DOCUMENT_OF, claimed, claimed, None, size=SIZE, config=config, seed=3
        ).membership

    assert drawn(0.75) == pytest.approx(0.75 * claimed + 0.25 * drawn(0.0))


def test_the_same_seed_gives_the_same_bits(real):
    first, second = redrawn(real), redrawn(real)
    assert np.array_equal(first.membership, second.membership)
    assert np.array_equal(first.readout.weights, second.readout.weights)


def test_without_trust_the_pointer_has_no_say_beyond_its_claims(real):
    """With trust 0 the log-odds are the classifier's alone, so the pointer's scatter inside a document is gone."""
    drawn = redrawn(real, CONFIG.model_copy(update={"trust": 0.0}))
    scatter = real.pointer_log_odds - document_mean(real.pointer_log_odds, DOCUMENT_OF)
    single = drawn.single - drawn.pooled
    assert abs(np.corrcoef(single[~GOLD], scatter[~GOLD])[0, 1]) < 0.2
    trusting = redrawn(real)
    assert np.corrcoef((trusting.single - trusting.pooled)[~GOLD], scatter[~GOLD])[0, 1] > 0.5


def test_the_readout_is_the_average_model_pulled_back_through_the_projection(real):
    drawn = redrawn(real)
    projection = Projection.fit(real.activations, CONFIG.components)
    features = projection.apply(real.activations)
    folds = [document_folds(DOCUMENT_OF, 5, seed_for(3, number, "folds")) for number in range(2)]
    weights, bias = CrossFittedRidge(features, np.ones(len(features)), folds, CONFIG.penalty).average(
        drawn.membership
    )
    fresh = activations_of(GOLD, seed=21)
    scores, on_fresh = features @ weights + bias, projection.apply(fresh) @ weights + bias
    centred = real.pointer_log_odds - real.pointer_log_odds.mean()
    slope = (drawn.single - centred).std() / scores.std()
    assert drawn.readout.evidence(real.activations) == pytest.approx(
        slope * (scores - scores.mean()), abs=1e-8
    )
    assert drawn.readout.evidence(fresh) == pytest.approx(slope * (on_fresh - scores.mean()), abs=1e-8)


def test_the_readout_reads_fresh_texts_and_claims_the_size(real):
    readout = redrawn(real, rounds=3).readout
    assert readout.membership(real.activations, real.pointer_log_odds).mean() == pytest.approx(SIZE, abs=1e-6)
    fresh = readout.membership(activations_of(GOLD, seed=23), real.pointer_log_odds)
    assert precision(fresh) > precision(real.pointer_log_odds) + 0.1


@pytest.mark.parametrize("count", [1, 10, 100, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_generated_texts_never_outweigh(count, share):
    weights = clustering._training_weights(240, count, share)
    assert np.array_equal(weights[:240], np.ones(240))
    assert weights[240:].sum() <= share * weights.sum() * (1 + 1e-12)
    assert weights.max() == 1


def test_ten_copies_of_the_generated_texts_weigh_what_one_does(real):
    gold = np.arange(40) % 2 == 0
    once = Texts(activations_of(gold, seed=31), 2.0 * gold - 3)
    often = Texts(np.tile(once.activations, (10, 1, 1)), np.tile(once.pointer_log_odds, 10))
    first, second = (redrawn(real, generated=texts) for texts in (once, often))
    assert second.membership == pytest.approx(first.membership, abs=1e-6)
    assert second.generated == pytest.approx(np.tile(first.generated, 10), abs=1e-6)
    without = redrawn(real)
    assert not np.allclose(first.membership, without.membership, atol=1e-6)
    assert soft_jaccard(first.membership, without.membership) > 0.8


def test_generated_texts_of_the_cluster_are_read_as_members(real):
    gold = np.arange(40) % 2 == 0
    drawn = redrawn(real, rounds=3, generated=Texts(activations_of(gold, seed=32), np.full(40, -2.0)))
    assert drawn.generated.shape == (40,)
    assert average_precision_score(gold, drawn.generated) > 0.8


def test_activations_that_are_not_finite_name_the_remedy(real):
    broken = real.activations.copy()
    broken[5, 1, 2] = np.nan
    with pytest.raises(BasinError, match="not finite; .*float32"):
        redrawn(replace(real, activations=broken))
    with pytest.raises(BasinError, match="not finite"):
        redrawn(real, generated=Texts(np.full((1, LAYERS, WIDTH), np.inf), np.zeros(1)))


def test_few_documents_are_folded_as_far_as_they_go():
    gold = np.array([True, True, False, False, False, False])
    texts = Texts(activations_of(gold, seed=41), 2.0 * gold - 1)
    membership = np.where(gold, 0.9, 0.1)
    drawn = recluster(
        texts, np.array([0, 0, 1, 1, 2, 2]), membership, membership, None, size=0.3, config=CONFIG, seed=0
    )
    assert np.isfinite(drawn.single).all() and np.isfinite(drawn.membership).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of PCA, in a share it does not use
def test_texts_that_are_all_alike_leave_the_pointer_alone(real):
    """Nothing varies, so nothing is learnt; and nothing is divided by zero."""
    drawn = redrawn(replace(real, activations=np.ones_like(real.activations)))
    assert drawn.single == pytest.approx(real.pointer_log_odds - real.pointer_log_odds.mean())


def test_passages_of_a_document_add_up_as_witnesses():
    pooled, document_of = np.array([1.0, 1.0, 1.0, -1.0]), np.array([0, 0, 0, 1])
    membership = document_membership(pooled, document_of, 0.5)
    odds = np.log(membership / (1 - membership))
    # Three witnesses of log-odds 1 - b against one of -1 - b.
    assert membership.mean() == pytest.approx(0.5)
    assert odds[0] / 3 - odds[3] == pytest.approx(2)


def test_document_mean_by_hand():
    assert document_mean(np.array([1.0, 5, 3, 9]), np.array([0, 1, 0, 1])).tolist() == [2, 7, 2, 7]


def test_held_out_log_odds_find_the_planted_cluster_and_nothing_in_shuffled_labels(real):
    folds = document_folds(DOCUMENT_OF, 5, 0)
    found = cross_fitted_log_odds(real.activations, GOLD.astype(float), folds, CONFIG)
    assert precision(found) > 0.8
    by_chance = []
    for seed in range(5):
        labels = np.random.default_rng(seed).permutation(DOCUMENTS)[DOCUMENT_OF] % 4 == 0
        scores = cross_fitted_log_odds(real.activations, labels.astype(float), folds, CONFIG)
        by_chance.append(average_precision_score(labels, scores))
    assert np.mean(by_chance) < SIZE + 0.1
