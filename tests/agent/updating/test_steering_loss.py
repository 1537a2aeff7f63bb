"""Both losses against the formulas by hand, and which way they pull."""

from __future__ import annotations

import math

import pytest
import torch

from agent.updating.optimised import above, reference_free, with_reference

INSIDE = torch.tensor([True, False, True, False, False])


def softplus(value: float) -> float:
    return math.log1p(math.exp(-value))


def test_with_reference_by_hand():
    gain = torch.tensor([0.3, -0.1, 0.2, 0.0, 0.4])
    pairs = [gain[c] - gain[r] for c in (0, 2) for r in (1, 3, 4)]
    expected = sum(softplus(2.0 * float(each)) for each in pairs) / 6
    assert float(with_reference(gain, INSIDE, 2.0)) == pytest.approx(expected, rel=1e-5)
    assert float(with_reference(torch.zeros(5), INSIDE, 2.0)) == pytest.approx(math.log(2))


def test_reference_free_by_hand_and_scales_the_winner():
    generator = torch.Generator().manual_seed(0)
    steered, reverse, base = -3 - 3 * torch.rand(3, 5, generator=generator)
    total = 0.0
    for c in (0, 2):
        for r in (1, 3, 4):
            lead = float(base[c] - base[r])
            total += softplus(0.7 * (max(-lead, 1) * float(steered[c]) - float(steered[r])))
            total += softplus(0.7 * (max(lead, 1) * float(reverse[r]) - float(reverse[c])))
    assert float(reference_free(steered, reverse, base, INSIDE, 0.7)) == pytest.approx(total / 6, rel=1e-5)
    assert base.max() - base.min() > 1  # or the scale was never used


def test_reference_free_pulls_members_up_and_others_down_and_the_reverse_the_other_way():
    steered, reverse = (torch.full((5,), -3.0, requires_grad=True) for _ in range(2))
    reference_free(steered, reverse, torch.full((5,), -3.0), INSIDE, 1.0).backward()
    assert (steered.grad[INSIDE] < 0).all() and (steered.grad[~INSIDE] > 0).all()
    assert torch.allclose(steered.grad, -reverse.grad)


def test_a_few_forced_tokens_cost_more_than_the_same_nats_spread():
    even, uneven = torch.full((100,), 0.1), torch.tensor([1.0] * 10 + [0.0] * 90)
    assert float(even.mean()) == pytest.approx(float(uneven.mean()))
    assert float(above(even, 0.1, 1.5)) == 0.0
    assert float(above(uneven, 0.1, 1.5)) == pytest.approx(math.sqrt(0.1) - 0.15, rel=1e-4)
    still = torch.zeros(4, requires_grad=True)
    above(still, 0.1, 1.5).backward()
    assert torch.isfinite(still.grad).all()
