"""Clusters planted in two readers whose coordinates have nothing to do with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agent.clustering.config import ClusteringConfig
from agent.errors import BasinError
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_folds
from agent.membership.similarity import soft_jaccard
from agent.transfer.matching import Candidate, Reader, _Search, best_match, mu, overlap, sides
from agent.types import Document, Passage, PassageSet
from loops.checkpoint.store import RunStore
from loops.cli.models import _show_match
from loops.config import parse_config
from loops.records import Generated
from loops.transfer.match import Matched, Texts, match, read

CONFIG = ClusteringConfig(components=12, penalty=0.1, shuffles=19)
DOCUMENT_OF = np.repeat(np.arange(90), 3)
KIND = (np.arange(90) % 5)[DOCUMENT_OF]
TRUE = (KIND == 0).astype(float)


def reader(seed: int, kinds: np.ndarray = KIND, strength: float = 5.0) -> np.ndarray:
    """Five kinds of document, each about a corner of its own."""
    corners = np.random.default_rng(seed).normal(size=(5, 1, 20))
    noise = np.random.default_rng(seed + 1).normal(size=(len(kinds), 1, 20))
    return (strength * corners[kinds] + noise).astype(np.float32)


def matched(
    target: np.ndarray, activations: np.ndarray, document_of: np.ndarray, **clusters
) -> list[Candidate]:
    return best_match(target, Reader(activations, document_of, **clusters), config=CONFIG, seed=0)


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
    best = matched(TRUE, reader(5), DOCUMENT_OF)[0]
    assert best.overlap.jaccard > 0.95
    assert soft_jaccard(best.membership, TRUE) > 0.95


def test_two_kinds_are_a_union() -> None:
    two = np.isin(KIND, (1, 3)).astype(float)
    found = {each.kind: each for each in matched(two, reader(5), DOCUMENT_OF)[::-1]}
    assert found["union"].overlap.jaccard > 0.95 > 0.6 > found["component"].overlap.jaccard


def test_a_reader_s_own_clusters_are_taken() -> None:
    topics = np.eye(5)[KIND]
    best = matched(TRUE, reader(5), DOCUMENT_OF, components=topics)[0]
    assert best.overlap.jaccard == 1 and best.name == "0"


def test_sides_divide_what_is_claimed() -> None:
    parts = sides(np.array([0.9, 0.9, 0.1, 0.1]), np.array([0.9, 0.1, 0.9, 0.1]), 0.5)
    assert {name: np.flatnonzero(part).tolist() for name, part in parts.items()} == {
        "both": [0],
        "only the concept": [1],
        "only the match": [2],
    }


@pytest.mark.parametrize("target", [np.zeros(270), np.ones(270)])
def test_a_concept_that_claims_nothing_or_everything_is_refused(target: np.ndarray) -> None:
    with pytest.raises(BasinError, match="nothing, or everything"):
        matched(target, reader(5), DOCUMENT_OF)


def test_one_document_is_refused() -> None:
    with pytest.raises(BasinError, match="One document"):
        matched(np.array([0.9, 0.1, 0.5]), reader(5)[:3], np.zeros(3, int))


def test_unrelated_soft_memberships_overlap_and_that_is_called_chance() -> None:
    topics = np.random.default_rng(1).uniform(0.3, 0.6, size=(90, 2))[DOCUMENT_OF]
    target = np.random.default_rng(2).uniform(0.3, 0.6, size=90)[DOCUMENT_OF]
    found = matched(target, reader(5), DOCUMENT_OF, components=topics)
    assert found[0].overlap.jaccard > 0.6
    assert found[0].chance == pytest.approx(found[0].overlap.jaccard, abs=0.05)
    assert found[0].z_score < 2


def test_a_planted_cluster_surprises_and_shuffled_ones_do_not() -> None:
    best = matched(TRUE, reader(5), DOCUMENT_OF)[0]
    assert best.chance < 0.25 and best.z_score > 8
    order = np.random.default_rng(0)
    shuffled = [TRUE[::3][order.permutation(90)][DOCUMENT_OF] for _ in range(12)]
    bests = [matched(target, reader(5), DOCUMENT_OF)[0] for target in shuffled]
    assert np.mean([each.z_score > 2 for each in bests]) < 0.2


def test_texts_on_one_opening_do_not_vouch_for_each_other() -> None:
    """Four copies each of forty texts with random targets: only a copy predicts another."""
    generator = np.random.default_rng(3)
    prompt_of = np.repeat(np.arange(40), 4)
    copies = generator.normal(size=(40, 1, 80))[prompt_of].astype(np.float32)
    real = generator.normal(size=(len(KIND), 1, 80)).astype(np.float32)
    target = np.concatenate([TRUE, generator.permutation(np.arange(40) % 2)[prompt_of]])
    config = ClusteringConfig(components=80, penalty=0.01, shuffles=9)

    def on_generated(prompts: np.ndarray | None) -> float:
        texts = Reader(np.concatenate([real, copies]), DOCUMENT_OF, prompt_of=prompts)
        found = best_match(target, texts, config=config, seed=0)
        return next(each.on_generated for each in found if each.kind == "classifier")

    assert on_generated(None) > 0.75 > 0.5 > on_generated(prompt_of)


def test_the_classifier_is_cut_at_the_target_size_on_real_and_on_generated_texts() -> None:
    target = np.concatenate([TRUE, np.tile([1.0, 1, 1, 0], 8)])
    nothing = np.random.default_rng(0).normal(size=(len(target), 1, 20)).astype(np.float32)
    found = matched(target, nothing, DOCUMENT_OF)
    fitted = next(each.membership for each in found if each.kind == "classifier")
    for part in (slice(0, len(KIND)), slice(len(KIND), None)):
        assert fitted[part].mean() == pytest.approx(target[part].mean(), abs=0.02)


def test_a_component_that_only_one_half_of_the_documents_chooses_is_not_the_best() -> None:
    half = document_folds(DOCUMENT_OF, 2, 0)
    halves = np.stack([TRUE * (half == 0), TRUE * (half == 1)], axis=1)
    noise = np.random.default_rng(0).normal(size=(len(KIND), 1, 20)).astype(np.float32)
    found = matched(TRUE, noise, DOCUMENT_OF, components=halves)
    assert [each.kind for each in found[-2:]] == ["component", "component"]
    assert found[-1].overlap.jaccard > 0.3
    assert next(each.overlap.jaccard for each in found if each.kind == "union") < 0.1


def test_containment_is_the_share_of_one_side() -> None:
    inner, outer = np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 0, 0])
    found = overlap(inner, outer, mu(4, 0))
    assert (found.first_contained, found.second_contained) == (1, 0.5)
    assert overlap(0 * inner, outer, mu(4, 0)).first_contained == 0


def test_a_deal_moves_whole_units_and_keeps_real_and_generated_apart() -> None:
    units = np.array([0, 0, 0, 1, 2, 2, 3, 3, 4])
    search, generator = _search(units, 6), np.random.default_rng(0)
    deals = np.stack([search.deal(generator) for _ in range(9)])
    assert set(deals[:, :6].ravel()) == set(range(6)) and set(deals[:, 6:].ravel()) == {6, 7, 8}
    for unit in range(5):
        assert all(len(set(units[deal[units == unit]])) == 1 for deal in deals)
    assert (deals[:, :6] != np.arange(6)).any() and (deals[:, 6:] != np.arange(6, 9)).any()


def _search(units: np.ndarray, real: int) -> _Search:
    ridge = CrossFittedRidge(np.zeros((len(units), 1)), np.ones(len(units)), [np.arange(len(units)) % 2], 1.0)
    return _Search(
        real, units, units, mu(real, len(units) - real), np.ones((len(units), 1)), ridge, units % 2
    )


def test_components_are_about_the_texts_and_not_about_who_wrote_them() -> None:
    kinds = np.concatenate([KIND, np.tile(np.arange(5), 8)])
    shifted = reader(5, kinds) + 40 * (np.arange(len(kinds)) >= len(KIND))[:, None, None].astype(np.float32)
    target = (kinds == 0).astype(float)
    union = next(each for each in matched(target, shifted, DOCUMENT_OF) if each.kind == "union")
    assert union.on_real > 0.9 and union.on_generated > 0.9


def test_a_run_without_a_round_is_refused_in_a_sentence(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "begun", parse_config({"corpus": {"source": "somewhere"}}, "test"))
    with pytest.raises(BasinError, match="no whole round"):
        match(store, None, "lda:5", "concept")


def test_texts_on_one_opening_are_numbered_alike() -> None:
    written = [Generated("base", prompt, text, 0, 0.5, None, None) for prompt, text in ("ax", "by", "az")]
    texts = Texts(PassageSet((), ()), tuple(written), np.zeros((3, 1, 1)))
    assert texts.prompt_of.tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", ["concept", "topic", ""])
def test_what_is_looked_for_is_no_reader_to_look_in(name: str) -> None:
    with pytest.raises(BasinError, match="is no reader to look in"):
        read(name, None, None)


def test_where_nothing_was_generated_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    document, passages = (
        Document("a", "", "A"),
        [Passage(f"p{at}", at // 3, at % 3, "text") for at in range(270)],
    )
    texts = Texts(PassageSet((document,) * 90, tuple(passages)), (), np.zeros((0, 1, 1)))
    found = matched(TRUE, reader(5), DOCUMENT_OF)
    console = Console(record=True, width=80)
    _show_match(Matched("r", 1, "concept", "embedder", texts, TRUE, found), console)
    printed = capsys.readouterr().out
    assert "all the mass on 270 real passages" in printed and "0 generated" not in printed
    table = console.export_text().splitlines()
    assert max(len(line) for line in table if "classifier" in line) <= 80
