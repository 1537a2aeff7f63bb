"""How far a writer is from its base model, on random models and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.judging.diversity import divergence_on, selection_bound
from agent.judging.topic_fusion import TopicFusion
from agent.pointer.topic_model import TopicModel
from agent.steering.vector import SteeringVector

PROMPTS = [sentence(1, 2), sentence(3), sentence(40, 41, 42)]
TEXTS = [sentence(*range(4, 16)), sentence(7, 7, 8), sentence(60, 2, 61, 3)]


@pytest.fixture
def model():
    return make_language_model()


def fusion(model, gamma: float) -> TopicFusion:
    counts = np.ones((2, 20))
    counts[0, :5] = 30
    topics = TopicModel(tuple(f"w{number}" for number in range(20)), counts, np.array([0.5, 0.5]), 0)
    return TopicFusion(topics, 0, model.tokenizer, gamma, nats_below=100.0)


def test_a_model_is_at_no_distance_from_itself(model):
    assert divergence_on(model, model, PROMPTS, TEXTS) == pytest.approx(0, abs=1e-6)
    assert divergence_on(model, model, PROMPTS, TEXTS, fusion=fusion(model, 0.0)) == pytest.approx(
        0, abs=1e-6
    )


def test_a_preamble_a_vector_and_a_fusion_are_a_distance(model):
    vector = SteeringVector({1: torch.randn(16, generator=torch.Generator().manual_seed(0))})
    assert divergence_on(model, model, PROMPTS, TEXTS, vector) > 0.01
    assert divergence_on(model, model, PROMPTS, TEXTS, preamble=sentence(50, 51)) > 0.01
    near, far = (
        divergence_on(model, model, PROMPTS, TEXTS, fusion=fusion(model, each)) for each in (0.3, 1.0)
    )
    assert far > 2 * near > 0.001
    assert divergence_on(model, model, PROMPTS, TEXTS, 3.0 * vector) > divergence_on(
        model, model, PROMPTS, TEXTS, vector
    )


def test_the_distance_by_hand(model):
    writer = make_language_model(seed=1)
    ids = model.tokenizer(PROMPTS[0] + TEXTS[0], return_tensors="pt")["input_ids"]
    # The base model's head reads both, as adapters and vectors leave the head alone.
    writer.model.set_output_embeddings(model.model.get_output_embeddings())
    with torch.no_grad():
        ours, theirs = (each.model(ids).logits.log_softmax(-1) for each in (writer, model))
    places = slice(-13, -1)  # the text's 12 tokens are predicted one place before them
    wanted = float((ours.exp() * (ours - theirs)).sum(-1)[0, places].mean())
    assert divergence_on(writer, model, PROMPTS[:1], TEXTS[:1]) == pytest.approx(wanted, rel=1e-3)


def test_every_token_counts_alike_however_long_its_text(model):
    vector = SteeringVector({1: torch.ones(16)})
    each = [
        divergence_on(model, model, [prompt], [text], vector)
        for prompt, text in zip(PROMPTS, TEXTS, strict=True)
    ]
    wanted = np.average(each, weights=[len(text.split()) for text in TEXTS])
    assert divergence_on(model, model, PROMPTS, TEXTS, vector) == pytest.approx(wanted, rel=1e-4)


def test_a_text_that_no_longer_fits_behind_the_preamble_is_left_out():
    model = make_language_model(max_tokens=20)
    preamble = sentence(*range(10))
    some = divergence_on(model, model, PROMPTS, TEXTS, preamble=preamble)
    assert some == pytest.approx(divergence_on(model, model, PROMPTS[1:], TEXTS[1:], preamble=preamble))
    assert math.isnan(divergence_on(model, model, PROMPTS[:1], TEXTS[:1], preamble=preamble))


def test_what_choosing_costs_at_most():
    assert selection_bound(1.0, 200) == 0
    assert selection_bound(0.25, 200) == pytest.approx(math.log(4) / 200)
    assert selection_bound(0.01, 100) > selection_bound(0.02, 100) > selection_bound(0.02, 200)
