"""Diversity of texts with a known answer, planted copies, and the distance of random models."""

import math

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.judging.diversity import (
    copied_share,
    divergence_on,
    equal_samples,
    selection_bound,
    vendi_score,
    word_tokens,
)
from agent.steering.vector import SteeringVector

PROMPTS = [sentence(1, 2), sentence(3), sentence(40, 41, 42)]
TEXTS = [sentence(*range(4, 16)), sentence(7, 7, 8), sentence(60, 2, 61, 3)]


def random_text(rng, words=40, vocabulary=5000):
    return " ".join(f"w{number}" for number in rng.integers(vocabulary, size=words))


def test_vendi_score_counts_different_vectors():
    assert vendi_score(np.eye(5)) == pytest.approx(5)
    assert vendi_score(np.ones((5, 3))) == pytest.approx(1)
    # Two kinds, equally often, whatever their length.
    assert vendi_score(np.array([[1.0, 0], [7, 0], [0, 1], [0, 2]])) == pytest.approx(2)
    with pytest.raises(BasinError, match="zero"):
        vendi_score(np.zeros((2, 3)))


def test_vendi_score_equals_the_entropy_of_the_kernel():
    vectors = np.random.default_rng(0).normal(size=(7, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / 7)
    values = values[values > 1e-12]
    assert vendi_score(vectors) == pytest.approx(np.exp(-(values * np.log(values)).sum()))


def test_generators_get_the_same_number_of_texts_of_the_same_length():
    rng = np.random.default_rng(0)
    generated = {
        "many": [random_text(rng, 30) for _ in range(20)],
        "few": [random_text(rng, length) for length in (5, 30, 40, 50)],
    }
    equal = equal_samples(generated, 25, 2, seed=1)
    assert {name: len(texts) for name, texts in equal.items()} == {"many": 3, "few": 3}
    assert {len(text.split()) for texts in equal.values() for text in texts} == {25}
    assert equal == equal_samples(generated, 25, 2, seed=1)
    assert equal["many"] != equal_samples(generated, 25, 2, seed=2)["many"]
    assert equal_samples(generated, 25, 4, seed=1).keys() == {"many"}


def test_planted_copies_are_found_and_nothing_else():
    rng = np.random.default_rng(0)
    corpus = [random_text(rng, 400) for _ in range(5)]
    own, copy = random_text(rng, 20), " ".join(corpus[3].split()[100:120])
    mixed = f"{own} {copy}".upper()
    found = copied_share([own, copy, mixed, "too short"], iter(corpus), n=8)
    # 40 words have 33 runs of 8, of which 13 lie within the copied 20.
    assert found[:3] == pytest.approx([0, 1, 13 / 33])
    assert np.isnan(found[3])


def test_no_run_of_words_spans_two_texts_of_the_corpus():
    assert copied_share(["a b c d"], ["a b", "c d"], n=3).tolist() == [0]
    assert copied_share(["a b c d"], ["x a, b. C d"], n=3).tolist() == [1]


def test_words_are_compared_without_their_typography():
    assert word_tokens("_Don’t_ say “No”, 2nd-rate!") == ["don't", "say", "no", "2nd", "rate"]


@pytest.fixture
def model():
    return make_language_model()


def test_a_model_is_at_no_distance_from_itself(model):
    assert divergence_on(model, model, PROMPTS, TEXTS) == pytest.approx(0, abs=1e-6)


def test_a_preamble_and_a_vector_are_a_distance(model):
    vector = SteeringVector({1: torch.randn(16, generator=torch.Generator().manual_seed(0))})
    steered = divergence_on(model, model, PROMPTS, TEXTS, vector=vector)
    assert steered > 0.01
    assert divergence_on(model, model, PROMPTS, TEXTS, preamble=sentence(50, 51)) > 0.01
    assert divergence_on(model, model, PROMPTS, TEXTS, vector=3.0 * vector) > steered


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
        divergence_on(model, model, [prompt], [text], vector=vector)
        for prompt, text in zip(PROMPTS, TEXTS, strict=True)
    ]
    wanted = np.average(each, weights=[len(text.split()) for text in TEXTS])
    assert divergence_on(model, model, PROMPTS, TEXTS, vector=vector) == pytest.approx(wanted, rel=1e-4)


def test_a_text_that_no_longer_fits_behind_the_preamble_is_left_out():
    model = make_language_model(max_tokens=20)
    preamble = sentence(*range(10))
    some = divergence_on(model, model, PROMPTS, TEXTS, preamble=preamble)
    assert some == pytest.approx(divergence_on(model, model, PROMPTS[1:], TEXTS[1:], preamble=preamble))
    assert math.isnan(divergence_on(model, model, PROMPTS[:1], TEXTS[:1], preamble=preamble))


def test_the_bound_of_selection_by_hand():
    assert selection_bound(1.0, 200) == 0
    assert selection_bound(0.25, 200) == pytest.approx(math.log(4) / 200)
    assert selection_bound(0.01, 100) > selection_bound(0.02, 100) > selection_bound(0.02, 200)
