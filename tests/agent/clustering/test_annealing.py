"""Annealed re-clustering: it forgets the pointer, uses two views, and puts degenerate texts outside."""

from __future__ import annotations

import numpy as np
import pytest
from planted_activations import DOCUMENT_OF, GOLD, activations_of, pointer_of
from sklearn.metrics import roc_auc_score

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Prior, estimate_prior
from agent.clustering.redraw import redraw, settle
from agent.clustering.texts import Texts
from agent.membership.log_odds import sigmoid

SIZE = 0.25


def config(falling: int = 5) -> ClusteringConfig:
    return ClusteringConfig(
        size=SIZE, components=12, folds=4, divisions=2, penalty=0.1, trust=0.0, falling=falling
    )


def texts(
    gold: np.ndarray,
    document_of: np.ndarray,
    seed: int,
    degenerate: np.ndarray | None = None,
    strength: float = 4.0,
) -> Texts:
    embeddings = activations_of(gold, seed + 50, strength).reshape(len(gold), -1)
    activations = activations_of(gold, seed, strength)
    return Texts(activations, pointer_of(gold, document_of, seed), degenerate, embeddings)


@pytest.fixture(scope="module")
def real() -> Texts:
    return texts(GOLD, DOCUMENT_OF, 1)


def anchored(real: Texts, chosen: ClusteringConfig) -> Prior:
    return estimate_prior(real, DOCUMENT_OF, SIZE, chosen, 3)


def test_the_concept_settles_on_the_planted_members_without_the_pointer(real):
    chosen = config(3)
    drawn = settle(real, DOCUMENT_OF, anchored(real, chosen), chosen, 3)
    assert len(drawn) > 3  # not before trust is gone
    end = drawn[-1]
    assert (end.membership[GOLD] > 0.5).mean() > 0.95 and (end.membership[~GOLD] < 0.5).mean() > 0.95
    read = sigmoid(end.readout.log_odds(real.activations, real.embeddings))
    assert (read[GOLD] > 0.5).mean() > 0.85 and (read[~GOLD] < 0.5).mean() > 0.9


def test_a_new_text_is_read_by_both_readers(real):
    """Activations that know nothing: the embeddings alone tell members, and half of the evidence is theirs."""
    chosen = config()
    blind = np.random.default_rng(0).normal(size=real.activations.shape)
    texts = Texts(blind, real.pointer_log_odds, embeddings=real.embeddings)
    readout = settle(texts, DOCUMENT_OF, anchored(texts, chosen), chosen, 3)[-1].readout
    alone, both = readout.log_odds(blind), readout.log_odds(blind, real.embeddings)
    ranks = [roc_auc_score(GOLD, each) for each in (alone, both)]
    assert ranks[1] > max(0.8, ranks[0] + 0.1)
    sizes = [sigmoid(each).mean() for each in (alone, both)]
    assert sizes == pytest.approx([SIZE, SIZE], abs=1e-6)
    theirs = real.embeddings @ readout.embedding + readout.embedding_bias
    assert both == pytest.approx((readout.evidence(blind) + theirs) / 2 - readout.threshold)


def test_both_views_count(real):
    chosen = config()
    blind = Texts(np.random.default_rng(0).normal(size=real.activations.shape), real.pointer_log_odds)
    seeing = Texts(blind.activations, blind.pointer_log_odds, embeddings=real.embeddings)
    ends = {}
    for name, view in (("one", blind), ("both", seeing)):
        ends[name] = settle(view, DOCUMENT_OF, anchored(view, chosen), chosen, 3)[-1].membership
    right = {name: float((end[GOLD] > 0.5).mean()) for name, end in ends.items()}
    assert right["both"] > 0.7 and right["both"] > right["one"] + 0.2, right


def test_written_texts_are_placed(real):
    chosen = config(2)
    gold = np.arange(40) % 2 == 0
    written = texts(gold, np.arange(40), 9)
    found = anchored(real, chosen)
    plain = redraw(real, DOCUMENT_OF, None, written, found, config=chosen, seed=3, round_number=3)
    assert plain.generated[gold].mean() > 0.7 > 0.2 > plain.generated[~gold].mean()


def test_a_few_degenerate_texts_that_look_like_members_do_not_push_the_concept_away():
    """Over-steered nonsense about the concept counts as outside without moving the boundary."""
    chosen, all_of = config(2), np.ones(12, dtype=bool)
    faint = texts(GOLD, DOCUMENT_OF, 1, strength=2.5)
    found = anchored(faint, chosen)
    degenerate = texts(all_of, np.arange(12), 9, all_of, strength=2.5)
    last = None
    for number in range(1, 12):
        last = redraw(faint, DOCUMENT_OF, last, degenerate, found, config=chosen, seed=3, round_number=number)
    assert (last.membership[GOLD] > 0.5).mean() > 0.95 and (last.membership[~GOLD] < 0.5).mean() > 0.95
