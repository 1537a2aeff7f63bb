"""Clusters planted in two readers whose coordinates have nothing to do with each other."""

import numpy as np
import pytest

from agent.clustering.config import ClusteringConfig
from agent.errors import BasinError
from agent.transfer.matching import Cluster, Match, Reader, _Search, best_match

CONFIG = ClusteringConfig(components=12, penalty=0.1, shuffles=19)
DOCUMENT_OF = np.repeat(np.arange(90), 3)
KIND = (np.arange(90) % 5)[DOCUMENT_OF]
TRUE = (KIND == 0).astype(float)
NOISE = np.random.default_rng(0).normal(size=(302, 1, 20)).astype(np.float32)


def seen(kinds: np.ndarray = KIND) -> np.ndarray:
    """Five kinds of document, each about a corner of its own."""
    corners = np.random.default_rng(5).normal(size=(5, 1, 20))
    noise = np.random.default_rng(6).normal(size=(len(kinds), 1, 20))
    return (5 * corners[kinds] + noise).astype(np.float32)


def matched(target: np.ndarray, activations: np.ndarray, document_of=DOCUMENT_OF, **clusters) -> Match:
    return best_match(target, Reader(activations, document_of, **clusters), config=CONFIG, seed=0)


def cluster(found: Match, kind: str) -> Cluster:
    return next(each for each in found.clusters if each.kind == kind)


def test_a_planted_cluster_is_found_without_a_map_and_shuffled_ones_are_not():
    found = matched(TRUE, seen())
    assert found.best.overlap > 0.95
    assert found.chance < 0.25 and found.z_score > 8
    order = np.random.default_rng(0)
    shuffled = [TRUE[::3][order.permutation(90)][DOCUMENT_OF] for _ in range(8)]
    assert np.mean([matched(target, seen()).z_score > 2 for target in shuffled]) < 0.2


def test_two_kinds_are_a_union():
    union = cluster(matched(np.isin(KIND, (1, 3)).astype(float), seen()), "union")
    assert union.overlap > 0.95 and len(union.components) >= 2


def test_a_reader_s_own_clusters_are_taken():
    found = matched(TRUE, seen(), components=np.eye(5)[KIND])
    assert found.best.overlap == 1 and found.best.components == (0,)


def test_a_union_is_scored_on_documents_that_did_not_choose_it():
    halves = _Search.of(Reader(NOISE[:270], DOCUMENT_OF), CONFIG, 0).half
    components = np.stack([TRUE * (halves == 0), TRUE * (halves == 1)], axis=1)
    assert cluster(matched(TRUE, NOISE[:270], components=components), "union").overlap < 0.1


def test_constant_targets_and_one_document_are_refused_in_a_sentence():
    for target in (np.zeros(270), np.ones(270)):
        with pytest.raises(BasinError, match="nothing, or everything"):
            matched(target, seen())
    with pytest.raises(BasinError, match="One document"):
        matched(np.array([0.9, 0.1, 0.5]), seen()[:3], np.zeros(3, int))


def test_the_overlap_of_unrelated_soft_memberships_is_chance():
    topics = np.random.default_rng(1).uniform(0.3, 0.6, size=(90, 2))[DOCUMENT_OF]
    target = np.random.default_rng(2).uniform(0.3, 0.6, size=90)[DOCUMENT_OF]
    found = matched(target, seen(), components=topics)
    assert found.best.overlap > 0.6 and found.z_score < 2
    assert found.chance == pytest.approx(found.best.overlap, abs=0.05)


def test_texts_of_one_prompt_are_held_out_together():
    """Four copies each of forty texts with random targets: only a copy predicts another."""
    generator = np.random.default_rng(3)
    prompt_of = np.repeat(np.arange(40), 4)
    copies = generator.normal(size=(40, 1, 80))[prompt_of].astype(np.float32)
    real = generator.normal(size=(len(KIND), 1, 80)).astype(np.float32)
    target = np.concatenate([TRUE, generator.permutation(np.arange(40) % 2)[prompt_of]])
    config = ClusteringConfig(components=80, penalty=0.01, shuffles=9)

    def on_generated(prompts: np.ndarray | None) -> float:
        texts = Reader(np.concatenate([real, copies]), DOCUMENT_OF, prompt_of=prompts)
        return cluster(best_match(target, texts, config=config, seed=0), "classifier").on_generated

    assert on_generated(None) > 0.75 > 0.5 > on_generated(prompt_of)


def test_the_classifier_is_cut_at_the_target_size_on_real_and_on_generated_texts():
    target = np.concatenate([TRUE, np.tile([1.0, 1, 1, 0], 8)])
    fitted = cluster(matched(target, NOISE), "classifier").membership
    for part in (slice(0, len(KIND)), slice(len(KIND), None)):
        assert fitted[part].mean() == pytest.approx(target[part].mean(), abs=0.02)


def test_components_do_not_depend_on_the_writer():
    kinds = np.concatenate([KIND, np.tile(np.arange(5), 8)])
    shifted = seen(kinds) + 40 * (np.arange(len(kinds)) >= len(KIND))[:, None, None].astype(np.float32)
    union = cluster(matched((kinds == 0).astype(float), shifted), "union")
    assert union.on_real > 0.9 and union.on_generated > 0.9
