"""Weights of generated passages towards p m / Z."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.adapting.adapt import Written, importance_weights, log_likelihoods


def written(membership, coherent=None, prompts=None) -> Written:
    count = len(membership)
    coherent = np.ones(count, dtype=bool) if coherent is None else np.array(coherent)
    prompts = prompts or [f"o{number}" for number in range(count)]
    return Written(prompts, [f" t{number}" for number in range(count)], np.array(membership), coherent)


def test_passages_by_the_base_model_weigh_their_membership_and_mild_ratios_are_used_as_they_are():
    weights, exponent = importance_weights(written([0.2, 0.4, 0.6]), np.zeros(3))
    assert exponent == 1 and weights == pytest.approx(np.array([0.5, 1.0, 1.5]))
    weights, exponent = importance_weights(written([1.0, 1.0]), np.log([1.0, 2.0]))
    assert exponent == 1 and weights[1] / weights[0] == pytest.approx(2)


def test_wild_ratios_are_tempered_until_half_of_the_passages_count():
    ratio = np.array([0.0, 30.0, -20.0, 5.0, 12.0, -3.0])
    weights, exponent = importance_weights(written([0.9] * 6), ratio)
    assert 0 < exponent < 0.3
    assert weights.sum() ** 2 / np.square(weights).sum() == pytest.approx(3.0, rel=1e-3)
    assert (np.argsort(weights) == np.argsort(ratio)).all()


def test_incoherent_passages_have_no_weight():
    weights, _ = importance_weights(written([0.9, 0.9], [True, False]), np.zeros(2))
    assert weights[1] == 0 < weights[0]
    assert importance_weights(written([0.9], [False]), np.zeros(1))[0].tolist() == [0.0]


def test_likelihoods_are_summed_over_the_text_s_own_tokens():
    language_model = make_language_model()
    text, prompt = sentence(5, 6, 7), sentence(1, 2)
    found = log_likelihoods(language_model, [text], [prompt])
    assert found[0] == pytest.approx(-3 * language_model.losses([text], [prompt])[0], rel=1e-5)
