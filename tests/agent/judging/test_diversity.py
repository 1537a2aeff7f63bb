"""Measures of variety on texts whose variety is known, and copies that are planted in a corpus."""

import numpy as np
import pytest

from agent.errors import BasinError
from agent.judging.diversity import (
    copied_share,
    distinct_n,
    equal_samples,
    self_bleu,
    vendi_score,
    word_tokens,
)


def random_text(rng, words=40, vocabulary=5000):
    return " ".join(f"w{number}" for number in rng.integers(vocabulary, size=words))


@pytest.mark.parametrize(("n", "expected"), [(1, 3 / 6), (2, 3 / 4), (3, 2 / 2)])
def test_distinct_n_by_hand(n, expected):
    # Words a b a, b a c; the pairs are ab ba, ba ac; no pair spans the two texts.
    assert distinct_n(["a b A", "b a c"], n) == pytest.approx(expected)


def test_distinct_n_of_too_short_texts_is_refused():
    with pytest.raises(BasinError, match="3 words"):
        distinct_n(["a b"], 3)


def test_self_bleu_tells_one_text_from_many():
    rng = np.random.default_rng(0)
    assert self_bleu([random_text(rng)] * 3) == pytest.approx(1)
    different = [random_text(rng) for _ in range(8)]
    assert self_bleu(different) < 0.05
    assert 0.2 < self_bleu([*different[:4], *different[:1] * 4]) < 1
    with pytest.raises(BasinError, match="at least two"):
        self_bleu(["alone"])


def test_vendi_score_counts_what_differs():
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
    equal = equal_samples(generated, 25, seed=1)
    assert {name: len(texts) for name, texts in equal.items()} == {"many": 3, "few": 3}
    assert {len(text.split()) for texts in equal.values() for text in texts} == {25}
    assert equal == equal_samples(generated, 25, seed=1)
    assert equal["many"] != equal_samples(generated, 25, seed=2)["many"]
    with pytest.raises(BasinError, match="'few' wrote 1"):
        equal_samples({"few": generated["few"]}, 45, seed=1)


def test_planted_copies_are_found_and_nothing_else():
    rng = np.random.default_rng(0)
    corpus = [random_text(rng, 400) for _ in range(5)]
    own, copy = random_text(rng, 20), " ".join(corpus[3].split()[100:120])
    mixed = f"{own} {copy}".upper()
    found = copied_share([own, copy, mixed, "too short"], iter(corpus), n=8)
    # 40 words have 33 runs of 8, of which 13 lie within the copied 20.
    assert found.per_text[:3] == pytest.approx([0, 1, 13 / 33])
    assert np.isnan(found.per_text[3])
    assert found.mean == pytest.approx(np.mean([0, 1, 13 / 33]))


def test_no_run_of_words_spans_two_texts_of_the_corpus():
    assert copied_share(["a b c d"], ["a b", "c d"], n=3).mean == 0
    assert copied_share(["a b c d"], ["x a, b. C d"], n=3).mean == 1
    with pytest.raises(BasinError, match="n to at least 1"):
        copied_share(["a"], ["a"], n=0)


def test_words_are_compared_without_their_typography():
    assert word_tokens("_Don’t_ say “No”, 2nd-rate!") == ["don't", "say", "no", "2nd", "rate"]
