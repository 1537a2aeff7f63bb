"""Pairs, layers and maps whose truth is known, and what goes through the maps."""

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.concept import Readout
from agent.errors import BasinError
from agent.steering.vector import SteeringVector
from agent.transfer.learn import BACK, FORWARD, UNSEEN, LayerMaps, learn
from agent.transfer.linear_maps import METHODS, LinearMap, fit_map
from agent.transfer.pairs import CHUNK, UNREAD, aligned, layer_similarity, read_pairs
from agent.transfer.translate import Way, translate, translate_readout

TEXTS = [sentence(*np.random.default_rng(seed).integers(0, 90, 9 + seed % 5)) for seed in range(CHUNK + 6)]
WEIGHTS = np.random.default_rng(1).normal(size=(12, 9))


def rotation(width: int = 12, seed: int = 2) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def planted(weights: np.ndarray, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """x of a lively covariance, far from zero, and y = x W + 3 + noise."""
    generator = np.random.default_rng(0)
    mixing = np.random.default_rng(2).normal(size=(len(weights), len(weights)))
    x = generator.normal(size=(4000, len(weights))) @ mixing + 100
    y = x @ weights + 3 + noise * generator.normal(size=(4000, weights.shape[1]))
    return x.astype(np.float32), y.astype(np.float32)


def learnt(weights: np.ndarray, noise: float = 0.1, draws: int = 0) -> LayerMaps:
    use = np.resize([UNSEEN, FORWARD, BACK], 4000)
    return LayerMaps.of((2, 5), *planted(weights, noise), use, draws=draws, seed=0)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


VECTOR = np.subtract(*planted(WEIGHTS)[0][:2].astype(np.float64))
"""As likely as a difference between two texts."""


def test_tokens_meet_where_both_end():
    #   first: "the|re| |fore"   second: "there| f|or|e|" and a second token for the last letter's bytes
    first, second = aligned(np.array([3, 5, 6, 10]), np.array([5, 7, 9, 10, 10]))
    assert (first.tolist(), second.tolist()) == ([1, 3], [0, 4])
    assert all(len(each) == 0 for each in aligned(np.array([2, 4]), np.array([3, 5])))


def test_a_texts_mean_is_of_its_token_states(texts, architecture):
    model = make_language_model(architecture)
    means = model.record(texts)
    for each in model.token_states(texts):
        assert np.allclose(each.states.mean(0), means[each.text], atol=1e-5)
        assert each.ends[-1] == len(texts[each.text])
        assert (np.diff(each.ends) > 0).all()


def test_every_word_but_the_first_few_is_paired():
    first, second = make_language_model("llama"), make_language_model("gpt2", bos=False, seed=1)
    found = read_pairs(first, second, TEXTS)
    # gpt2 has no token before the first word, so its first word is the sink and is not counted.
    counts = np.bincount(found.text, minlength=len(TEXTS))
    assert counts.tolist() == [len(each.split()) - UNREAD - 1 for each in TEXTS]
    states = {each.text: each for each in first.token_states(TEXTS)}
    assert np.allclose(found.x[found.text == 5], states[5].states[UNREAD + 1 :], atol=1e-5)


def test_general_text_without_a_use_is_refused():
    model = make_language_model("llama")
    with pytest.raises(BasinError, match="Some part"):
        learn(model, model, TEXTS[:9], np.ones(9, int), layers=model.layers, seed=0)


def test_layers_find_their_partners():
    generator = np.random.default_rng(0)
    layers = [generator.normal(size=(900, 10)) for _ in range(3)]
    y = np.stack([*(layers[at] @ rotation(10, at) for at in (2, 0, 1)), np.zeros((900, 10))], axis=1)
    found = layer_similarity(np.stack(layers, axis=1), y)
    assert found.argmax(1).tolist() == [1, 2, 0]
    assert found.max(1) == pytest.approx(1, abs=0.01)
    assert np.sort(found, axis=1)[:, :3].max() < 0.2 and (found[:, 3] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_carries_a_direction_through_a_rotation_and_back(method):
    maps = learnt(rotation())
    there, back = maps.there[method], maps.back[method]
    assert there.unexplained < 0.05
    assert cosine(VECTOR @ there.weights, VECTOR @ rotation()) > 0.98
    assert cosine(VECTOR @ there.weights @ back.weights, VECTOR) > 0.9


def test_affine_finds_any_weights_and_the_bias():
    x, y = planted(WEIGHTS, noise=0.01)
    found = fit_map("affine", x, y)
    assert cosine(found.weights.ravel(), WEIGHTS.ravel()) > 0.99
    assert x.mean(0) @ found.weights + found.bias == pytest.approx(y.mean(0), rel=1e-4)


def test_procrustes_cannot_stretch_between_standardised_coordinates():
    x, y = planted(WEIGHTS)
    weights = fit_map("procrustes", x, y).weights * x.std(0)[:, None] / y.std(0)
    stretches = np.linalg.svd(weights, compute_uv=False)
    assert stretches == pytest.approx(stretches[0], rel=1e-4)


def test_unexplained_variance_is_one_for_the_mean_alone():
    x, y = planted(WEIGHTS)
    nothing = LinearMap(np.zeros_like(WEIGHTS), y.mean(0)).tested(x, y)
    assert nothing.unexplained == pytest.approx(1)
    assert LinearMap(WEIGHTS, np.full(9, 3.0)).tested(x, y).unexplained < 0.01


def test_control_maps_carry_nothing():
    maps = learnt(WEIGHTS, draws=40)
    assert [each.unexplained for each in maps.shuffled] == pytest.approx([1] * 40, abs=0.1)
    assert all(each.unexplained > 1.2 for each in maps.random)
    for controls in (maps.shuffled, maps.random):
        cosines = [cosine(VECTOR @ each.weights, VECTOR @ WEIGHTS) for each in controls]
        assert abs(np.mean(cosines)) < 0.2


TURN = LinearMap(5 * rotation(), np.full(12, 7.0))
TWO = SteeringVector({2: torch.arange(12.0), 3: torch.ones(12)})


def test_directions_go_through_without_the_bias_and_keep_their_length_in_spreads():
    arrived = translate(TWO, [Way(2, 4, TURN, 10.0, 30.0), Way(3, 1, TURN, 10.0, 10.0)])
    assert arrived.layers == (1, 4)
    assert np.allclose(arrived.directions[4].numpy(), 3 * np.arange(12.0) @ rotation(), atol=1e-4)
    assert arrived.norms()[1] == pytest.approx(TWO.norms()[3], rel=1e-5)
    met = translate(TWO, [Way(2, 4, TURN, 1.0, 1.0), Way(3, 4, TURN, 1.0, 1.0)])
    assert np.allclose(met.directions[4].numpy(), (np.arange(12.0) + 1) @ rotation(), atol=1e-4)


def test_missing_and_empty_maps_are_refused_in_a_sentence():
    with pytest.raises(BasinError, match="no map from layer 3"):
        translate(TWO, [Way(2, 4, TURN, 1.0, 1.0)])
    nothing = LinearMap(np.zeros((12, 9)), np.zeros(9))
    with pytest.raises(BasinError, match="Nothing of the direction"):
        translate(TWO, [Way(layer, 1, nothing, 1.0, 1.0) for layer in (2, 3)])


def test_a_translated_readout_equals_reading_translated_activations():
    generator = np.random.default_rng(0)
    theirs = generator.normal(size=(20, 2, 12))
    ways = {5: (3, LinearMap(WEIGHTS, np.ones(9))), 6: (4, LinearMap(-2 * WEIGHTS, np.zeros(9)))}
    ours = np.stack([theirs[:, at] @ way.weights + way.bias for at, (_, way) in enumerate(ways.values())], 1)
    readout = Readout(generator.normal(size=(2, 9)), 0.3, 0.2)
    translated = translate_readout(readout, (5, 6), (3, 4), ways)
    assert translated.log_odds(theirs) == pytest.approx(readout.log_odds(ours))
    with pytest.raises(BasinError, match="not recorded"):
        translate_readout(readout, (5, 6), (3,), ways)
