"""Preference between what was accepted and rejected, and the barrier that holds the adapter near its base."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.adapting.config import LoraConfig, PreferenceConfig
from agent.adapting.preference import Pair, barrier, fit_preferences, rms_divergence
from agent.adapting.supervised import fit_lora
from agent.errors import BasinError

PAIRS = [Pair(sentence(number % 7), sentence(*[3] * 6), sentence(*[4] * 6)) for number in range(24)]
CONFIG = PreferenceConfig(learning_rate=0.02, batch=4, barrier=0)


@pytest.fixture
def language_model():
    return make_language_model()


@pytest.fixture
def start(language_model, tmp_path):
    lesson, config = [sentence(3, 4, 3, 4)] * 8, LoraConfig(passages=8, rank=2, batch=1, learning_rate=0.01)
    return fit_lora(language_model, lesson, np.ones(8), config, seed=0, folder=tmp_path / "teach")[0]


def chosen_over_rejected(language_model, adapter) -> float:
    """Mean nats per token by which the adapter likes what was chosen better."""
    adapted = language_model.adapted(adapter)
    prompts = [pair.prompt for pair in PAIRS]
    liked, disliked = ([getattr(pair, which) for pair in PAIRS] for which in ("chosen", "rejected"))
    return float((adapted.losses(disliked, prompts) - adapted.losses(liked, prompts)).mean())


def test_chosen_texts_gain_on_rejected_ones(language_model, start, tmp_path):
    adapter, history = fit_preferences(
        language_model, PAIRS, start, CONFIG, tokens=32, seed=0, folder=tmp_path
    )
    assert chosen_over_rejected(language_model, adapter) > chosen_over_rejected(language_model, start) + 0.3
    assert history[-1]["rewards/margins"] > 0


def test_the_barrier_keeps_the_adapter_nearer_to_its_base(language_model, start, tmp_path):
    def distance(config: PreferenceConfig, place: str) -> float:
        adapter, _ = fit_preferences(
            language_model, PAIRS, start, config, tokens=32, seed=0, folder=tmp_path / place
        )
        ids = torch.tensor([[1, *range(5, 20)]])
        return float(rms_divergence(adapter.attach(language_model.twin()), ids, torch.ones_like(ids).bool()))

    free = distance(CONFIG, "free")
    barred = CONFIG.model_copy(update={"barrier": 50.0, "limit_nats": free / 4})
    assert distance(barred, "barred") < 0.7 * free


def test_the_distance_weighs_a_token_by_its_square(language_model, start):
    model = start.attach(language_model.twin())
    ids = torch.tensor([[1, 7, 8, 9, 10, 11]])
    core = language_model.model
    with torch.no_grad():
        theirs = core(ids).logits.log_softmax(-1)
        ours = model(ids).logits.log_softmax(-1)
    divergences = (ours.exp() * (ours - theirs)).sum(-1)
    found = float(rms_divergence(model, ids, torch.ones_like(ids).bool()))
    assert math.isclose(found, float(divergences.square().mean().sqrt()), rel_tol=1e-3)
    assert found >= float(divergences.mean())


@pytest.mark.parametrize(("rms", "loss"), [(0.0, 0.0), (0.5, 0.0), (1.0, 2.0), (1.5, 8.0)])
def test_the_barrier_rises_with_the_square_of_the_excess(rms, loss):
    assert float(barrier(torch.tensor(rms), 0.5, 2.0)) == pytest.approx(loss)


def test_no_pairs_are_refused_in_one_sentence(language_model, start, tmp_path):
    with pytest.raises(BasinError, match="no accepted passages"):
        fit_preferences(language_model, [], start, CONFIG, tokens=32, seed=0, folder=tmp_path)
