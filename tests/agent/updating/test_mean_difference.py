"""A planted direction is recovered, with weights and at chosen layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agent.errors import BasinError
from agent.steering.vector import SteeringVector
from agent.updating import mean_difference


def planted(seed: int = 0):
    """600 texts in noise, members displaced along one direction per layer."""
    generator = np.random.default_rng(seed)
    direction = generator.normal(size=(3, 24))
    noise = generator.normal(size=(600, 3, 24))
    return direction, noise[:300] + 2 * direction, noise[300:]


def test_a_planted_direction_comes_back():
    direction, members, others = planted()
    found = mean_difference(members, others, recorded=(2, 4, 6), steered=(2, 6))
    truth = SteeringVector({2: torch.from_numpy(direction[0]), 6: torch.from_numpy(direction[2])})
    assert found.layers == (2, 6)
    assert found.cosine(truth) > 0.99
    assert found.norms()[2] == pytest.approx(2 * truth.norms()[2], rel=0.05)


def test_texts_of_weight_zero_do_not_count():
    direction, members, others = planted()
    mixed = np.concatenate([members, others - 9 * direction])
    weights = np.array([1.0] * 300 + [0.0] * 300)
    weighted = mean_difference(mixed, others, weights, recorded=(1, 2, 3), steered=(1, 2, 3))
    plain = mean_difference(members, others, recorded=(1, 2, 3), steered=(1, 2, 3))
    assert all(
        torch.allclose(weighted.directions[layer], plain.directions[layer], atol=1e-5) for layer in (1, 2, 3)
    )


def test_bad_groups_are_named():
    _, members, others = planted()
    with pytest.raises(BasinError, match="inside the concept"):
        mean_difference(members[:0], others, recorded=(1, 2, 3), steered=(1,))
    with pytest.raises(BasinError, match="equal activations"):
        mean_difference(members, members, recorded=(1, 2, 3), steered=(1,))
