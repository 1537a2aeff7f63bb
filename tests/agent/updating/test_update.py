"""The schedule of updates, and the mode in which an update is calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.updating import RoundUpdate, UpdatingConfig, update


def updated(language_model, **settings):
    generator = np.random.default_rng(1)
    members, others = (
        [sentence(*generator.integers(low, low + 45, 14)) for _ in range(12)] for low in (0, 45)
    )
    config = UpdatingConfig(layers=(2, 3), **settings)
    recorded = language_model.record(members), language_model.record(others)
    return (
        recorded,
        members,
        update(language_model, members, others, *recorded, config=config, nats=0.05, seed=0),
    )


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


def test_steering_is_plain_by_default():
    assert updated(make_language_model(depth=5, layers=(1, 2, 3)))[2].mode.is_plain


@pytest.mark.parametrize("norm_preserving", [False, True])
def test_a_conditional_update_brings_the_gate_of_its_lowest_layer(norm_preserving):
    language_model = make_language_model(depth=5, layers=(1, 2, 3))
    (inside, outside), members, found = updated(
        language_model, conditional=True, norm_preserving=norm_preserving
    )
    gate = found.mode.gate
    assert gate.layer == 2 and found.mode.norm_preserving == norm_preserving
    of_members, of_others = (torch.from_numpy(each[:, 1]) @ gate.direction for each in (inside, outside))
    assert gate.gate_value(of_members).mean() < 0.5 < gate.gate_value(of_others).mean()
    assert gate.outside == pytest.approx(float(of_others.mean()), abs=1e-4)
    # Only in its own mode does it spend about the budget.
    assert language_model.divergence(members, found.vector) != pytest.approx(0.05, rel=0.1)
    assert language_model.divergence(members, found.vector, mode=found.mode) < 0.1
