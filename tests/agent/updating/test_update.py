"""The schedule of updates, the direction of a planted difference, and the budget of an update."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.steering.vector import SteeringVector
from agent.updating import RoundUpdate, UpdatingConfig, mean_difference, update


def test_the_schedule_steers_first_and_then_adapts():
    steers = UpdatingConfig(budget_nats=0.3)
    assert steers.schedule(0) == steers.schedule(9) == RoundUpdate(0.3, adapt=False)
    both = UpdatingConfig(budget_nats=0.3, adapter_from=2, adapter_nats=0.02)
    assert [both.schedule(number) for number in (1, 2, 3)] == [
        RoundUpdate(0.3, adapt=False),
        RoundUpdate(0.02, adapt=True),
        RoundUpdate(0.02, adapt=True),
    ]
    assert UpdatingConfig(adapter_from=1, adapter_nats=0).schedule(1) == RoundUpdate(None, adapt=True)


def test_layers_that_are_not_recorded_are_named():
    assert UpdatingConfig().steered_layers((1, 2)) == (1, 2)
    with pytest.raises(BasinError, match=r"updating.layers .*\[5\].*\[1, 2, 3\]"):
        UpdatingConfig(layers=(2, 5)).steered_layers((1, 2, 3))


def test_an_update_spends_its_budget_at_the_chosen_layers():
    language_model = make_language_model(depth=5, layers=(1, 2, 3))
    generator = np.random.default_rng(1)
    members, others = (
        [sentence(*generator.integers(low, low + 45, 14)) for _ in range(12)] for low in (0, 45)
    )
    recorded = language_model.record(members), language_model.record(others)
    config = UpdatingConfig(layers=(2, 3), calibration_texts=24)
    found = update(language_model, members, others, *recorded, config=config, nats=0.05)
    assert found.vector.layers == (2, 3) and found.nats_per_token == pytest.approx(0.05, rel=0.03)
    spent = language_model.divergence([*members, *others], found.vector)
    assert spent == pytest.approx(found.nats_per_token, rel=1e-3)


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
    for layer, direction in truth.directions.items():
        assert torch.cosine_similarity(found.directions[layer], direction, dim=0) > 0.99
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
