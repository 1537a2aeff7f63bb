from __future__ import annotations

import numpy as np
import pytest
import torch
from planted_pairs import rotation, some_weights

from agent.concept import Readout
from agent.errors import BasinError
from agent.steering.vector import SteeringVector
from agent.transfer.linear_maps import LinearMap
from agent.transfer.translate import Way, translate, translate_readout

TURN = LinearMap(5 * rotation(12), np.full(12, 7.0))
VECTOR = SteeringVector({2: torch.arange(12.0), 3: torch.ones(12)})


def test_directions_go_through_without_the_bias_and_keep_their_length_in_spreads() -> None:
    ways = [Way(2, 4, TURN, 10.0, 30.0), Way(3, 1, TURN, 10.0, 10.0)]
    arrived = translate(VECTOR, ways)
    assert arrived.layers == (1, 4)
    expected = torch.arange(12.0).double().numpy() @ rotation(12)
    assert np.allclose(arrived.directions[4].numpy(), 3 * expected, atol=1e-4)
    assert arrived.norms()[1] == pytest.approx(VECTOR.norms()[3], rel=1e-5)


def test_directions_that_meet_are_added() -> None:
    ways = [Way(2, 4, TURN, 1.0, 1.0), Way(3, 4, TURN, 1.0, 1.0)]
    expected = (VECTOR.directions[2] + VECTOR.directions[3]).double().numpy() @ rotation(12)
    assert np.allclose(translate(VECTOR, ways).directions[4].numpy(), expected, atol=1e-4)


def test_there_and_back_through_a_rotation_is_the_vector() -> None:
    there = [Way(layer, layer + 5, TURN, 1.0, 2.0) for layer in (2, 3)]
    undone = LinearMap(TURN.weights.T, np.zeros(12))
    back = [Way(layer + 5, layer, undone, 2.0, 1.0) for layer in (2, 3)]
    returned = translate(translate(VECTOR, there), back).directions
    for layer, direction in VECTOR.directions.items():
        torch.testing.assert_close(returned[layer] / returned[layer].norm(), direction / direction.norm())


def test_what_cannot_be_translated_is_refused_in_a_sentence() -> None:
    with pytest.raises(BasinError, match="no map from layer 3"):
        translate(VECTOR, [Way(2, 4, TURN, 1.0, 1.0)])
    nothing = LinearMap(np.zeros((12, 9)), np.zeros(9))
    with pytest.raises(BasinError, match="Nothing of the direction"):
        translate(VECTOR, [Way(layer, 1, nothing, 1.0, 1.0) for layer in (2, 3)])


def test_a_translated_readout_reads_what_the_first_would() -> None:
    generator = np.random.default_rng(0)
    theirs = generator.normal(size=(20, 2, 12))
    ways = {5: (3, LinearMap(some_weights(1), np.ones(9))), 6: (4, LinearMap(some_weights(2), np.zeros(9)))}
    ours = np.stack([theirs[:, at] @ way.weights + way.bias for at, (_, way) in enumerate(ways.values())], 1)
    readout = Readout(generator.normal(size=(2, 9)), 0.3, 0.5, -1.0, 0.2, 2.0)
    translated = translate_readout(readout, (5, 6), (3, 4), ways)
    pointer = generator.normal(size=20)
    assert translated.log_odds(theirs, pointer) == pytest.approx(readout.log_odds(ours, pointer))
    with pytest.raises(BasinError, match="not recorded"):
        translate_readout(readout, (5, 6), (3,), ways)
