"""The manner that an update is calibrated in is the one that it says it is to be applied in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.updating import UpdatingConfig, update


def updated(language_model, **settings):
    generator = np.random.default_rng(1)
    members, others = (
        [sentence(*generator.integers(low, low + 45, 14)) for _ in range(12)] for low in (0, 45)
    )
    config = UpdatingConfig(method="mean_difference", budget_nats=0.05, layers=(2, 3), **settings)
    recorded = language_model.record(members), language_model.record(others)
    return recorded, members, update(language_model, members, others, *recorded, config=config, seed=0)


def test_steering_is_plain_unless_asked_otherwise():
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
    # Applied as it says it is, and not otherwise, it spends about the budget.
    assert language_model.divergence(members, found.vector) != pytest.approx(0.05, rel=0.1)
    assert language_model.divergence(members, found.vector, mode=found.mode) < 0.1
