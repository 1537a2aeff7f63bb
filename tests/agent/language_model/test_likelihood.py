"""Losses and divergences against transformers and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.steering.vector import SteeringVector


def test_losses_equal_cross_entropy(architecture, texts):
    language_model = make_language_model(architecture, batch_tokens=40)
    losses = language_model.losses(texts)
    for text, loss in zip(texts, losses, strict=True):
        encoded = language_model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            expected = language_model.model(**encoded, labels=encoded["input_ids"]).loss
        assert loss == pytest.approx(float(expected), abs=1e-4)


def test_losses_after_a_prefix_count_only_the_text(monkeypatch):
    monkeypatch.setattr("agent.language_model.output_layer.CHUNK_BYTES", 4 * 4 * 96 * 2)
    language_model = make_language_model("gemma2")
    prefix, text = sentence(1, 2, 3), sentence(4, 5, 6, 7)
    ids = language_model.tokenizer(prefix + text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = language_model.model(ids).logits.log_softmax(-1)[0]
    expected = -np.mean([float(scores[place - 1, ids[0, place]]) for place in range(4, 8)])
    assert language_model.losses([text], [prefix])[0] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(language_model.losses([""], [prefix])[0])


def test_token_losses_by_hand_and_their_mean_is_the_loss(architecture, texts):
    language_model = make_language_model(architecture, batch_tokens=40)
    prefixes = [sentence(*range(number)) for number in range(len(texts))]
    found = language_model.token_losses(texts, prefixes)
    means = [each.astype(float).mean() for each in found]
    assert np.allclose(means, language_model.losses(texts, prefixes), atol=1e-5)
    ids = language_model.tokenizer(prefixes[3] + texts[3], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = language_model.model(ids).logits.log_softmax(-1)[0]
    places = range(4, ids.shape[1])  # after the start and a prefix of three
    expected = [-float(scores[place - 1, ids[0, place]]) for place in places]
    assert found[3] == pytest.approx(np.array(expected), abs=1e-4)
    assert [len(each) for each in language_model.token_losses(["", texts[1]])] == [0, 3]


def test_divergence_is_zero_at_zero_and_equals_kl_by_hand(texts):
    language_model = make_language_model(layers=(1,))
    vector = SteeringVector({1: 2 * torch.randn(16, generator=torch.Generator().manual_seed(3))})
    assert language_model.divergence(texts, vector, 0.0) == pytest.approx(0.0, abs=1e-7)
    total, count = 0.0, 0
    for text in texts:
        ids = language_model.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            base = language_model.model(ids).logits[0, 1:].log_softmax(-1)
            with language_model.steer(vector):
                steered = language_model.model(ids).logits[0, 1:].log_softmax(-1)
        total += float((steered.exp() * (steered - base)).sum())
        count += len(base)
    assert language_model.divergence(texts, vector) == pytest.approx(total / count, rel=1e-4)
