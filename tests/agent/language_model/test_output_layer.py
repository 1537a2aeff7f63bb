"""Losses and their slopes against torch's own, with and without what configurations do to the logits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from agent.language_model.output_layer import OutputLayer


@pytest.mark.parametrize("options", [{}, {"final_logit_softcapping": 1.5}, {"logit_scale": 0.3}])
def test_slopes_are_those_of_cross_entropy(monkeypatch, options):
    monkeypatch.setattr(
        "agent.language_model.output_layer.CHUNK_BYTES", 4 * 4 * 30 * 4
    )  # four positions at a time
    torch.manual_seed(0)
    head = nn.Linear(8, 30, bias=False).requires_grad_(False)
    layer = OutputLayer(head, SimpleNamespace(**options))
    states, targets = torch.randn(10, 8), torch.randint(0, 30, (10,))
    weights = torch.rand(10)
    slopes = []
    for kind in ("ours", "torch"):
        leaf = states.clone().requires_grad_()
        if kind == "ours":
            losses = layer.losses(leaf, targets)
        else:
            losses = nn.functional.cross_entropy(layer.logits(leaf), targets, reduction="none")
        (losses * weights).sum().backward()
        slopes.append((losses.detach(), leaf.grad))
    torch.testing.assert_close(slopes[0], slopes[1])
    with torch.no_grad():
        torch.testing.assert_close(layer.losses(states, targets), slopes[1][0])


def test_a_head_that_learns_gets_its_gradient():
    head = nn.Linear(8, 30, bias=False)
    layer = OutputLayer(head, SimpleNamespace())
    layer.losses(torch.randn(5, 8, requires_grad=True), torch.arange(5)).sum().backward()
    assert head.weight.grad.norm() > 0


def test_nothing_to_score_is_no_loss():
    layer = OutputLayer(nn.Linear(8, 30, bias=False).requires_grad_(False), SimpleNamespace())
    nothing = torch.empty(0, 8, requires_grad=True)
    assert layer.losses(nothing, torch.empty(0, dtype=torch.long)).shape == (0,)
