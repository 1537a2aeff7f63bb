"""Spoiled passages: the length asked for, the words they may have, and what is wrong with them."""

from collections import Counter

import numpy as np
import pytest

from agent.judging.readability import SPOILS, repeated, replaced, shuffled, spoil, truncated

WORDS = [f"w{index}" + "." * (index % 7 == 6) for index in range(120)]
CORPUS = [f"other{index}" for index in range(50)]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", sorted(SPOILS))
def test_every_kind_has_the_length_asked_for_and_differs(kind):
    for seed in range(20):
        spoiled = SPOILS[kind](WORDS, 40, CORPUS, rng(seed))
        assert len(spoiled) == 40
        assert spoiled != WORDS[:40]
        assert spoiled == SPOILS[kind](WORDS, 40, CORPUS, rng(seed))


def test_shuffled_words_stay_near_their_place():
    spoiled = shuffled(WORDS, 40, CORPUS, rng())
    assert Counter(spoiled) == Counter(WORDS[:40])
    assert max(abs(WORDS.index(word) - place) for place, word in enumerate(spoiled)) < 12


def test_truncated_sentences_lose_their_ends_and_keep_their_order():
    spoiled = truncated(WORDS, 40, CORPUS, rng())
    assert not any(word.endswith(".") for word in spoiled)
    places = [WORDS.index(word) for word in spoiled]
    assert places == sorted(places)
    assert {place // 7 for place in places} == set(range(places[-1] // 7 + 1))  # no sentence is left out


def test_a_tenth_to_a_half_of_the_words_are_replaced():
    shares = [
        np.mean([word in CORPUS for word in replaced(WORDS, 100, CORPUS, rng(seed))]) for seed in range(40)
    ]
    assert 0.02 < min(shares) < 0.2 and 0.4 < max(shares) < 0.65
    spoiled = replaced(WORDS, 100, CORPUS, rng())
    assert all(word in (original, *CORPUS) for word, original in zip(spoiled, WORDS, strict=False))


def test_a_stuck_passage_ends_in_a_loop():
    for seed in range(20):
        spoiled = repeated(WORDS, 60, CORPUS, rng(seed))
        period = next(
            size for size in range(1, 21) if spoiled[-size:] == spoiled[-2 * size : -size] or size == 20
        )
        assert period >= 3
        assert max(Counter(spoiled).values()) > 1


def test_the_next_kind_steps_in_where_words_are_too_few():
    turn = list(SPOILS).index("truncated")
    assert spoil(WORDS, 40, CORPUS, turn, rng())[0] == "truncated"
    assert spoil(WORDS[:40], 40, CORPUS, turn, rng())[0] == "replaced"
