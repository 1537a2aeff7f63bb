"""What the concept accepts has the base model's distribution times the membership, over Z."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from agent.language_model.decoding.rejection import Proposal, keep

KINDS, BASE, MEMBERSHIP = "abcd", np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 0.1, 0.5, 1.0])


def proposals(count: int):
    generator = np.random.default_rng(1)
    for seed, kind in enumerate(generator.choice(4, size=count, p=BASE)):
        yield Proposal("It was", KINDS[kind], seed, MEMBERSHIP[kind])


def test_samples_are_those_of_the_exact_target():
    kept = keep(proposals(40_000), wanted=100_000)
    target = BASE * MEMBERSHIP / (BASE @ MEMBERSHIP)
    counts = np.array([sum(each.text == kind for each in kept.passages) for kind in KINDS])
    assert counts[0] == 0
    assert chisquare(counts[1:], target[1:] * counts.sum()).pvalue > 0.01
    assert kept.proposed == 40_000 and kept.share == pytest.approx(BASE @ MEMBERSHIP, abs=0.01)


def test_no_more_is_drawn_than_is_wanted():
    drawn = []
    source = (drawn.append(each) or each for each in proposals(1000))
    kept = keep(source, wanted=3)
    assert len(kept.passages) == 3 and len(drawn) == kept.proposed
    assert kept.passages == keep(proposals(1000), wanted=3).passages
    assert drawn[-1] == kept.passages[-1]


def test_what_is_certain_is_always_and_what_is_impossible_never_accepted():
    assert all(Proposal("", "", seed, 1.0).accepted for seed in range(200))
    assert not any(Proposal("", "", seed, 0.0).accepted for seed in range(200))
    assert keep([], wanted=2).share == 0
