"""Two random models with one tokenizer read the same text."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.transfer.gather import CHUNK, UNREAD, gather, paired

TEXTS = [sentence(*np.random.default_rng(seed).integers(0, 90, 9 + seed % 5)) for seed in range(CHUNK + 6)]


def test_the_tokens_of_a_text_are_what_its_mean_is_of(texts: list[str], architecture: str) -> None:
    model = make_language_model(architecture)
    means = model.record(texts)
    for each in model.token_states(texts):
        assert np.allclose(each.states.mean(0), means[each.text], atol=1e-5)
        assert each.ends[-1] == len(texts[each.text])
        assert (np.diff(each.ends) > 0).all()


def test_every_word_but_the_first_few_is_paired() -> None:
    first, second = make_language_model("llama"), make_language_model("gpt2", bos=False, seed=1)
    found = list(paired(first, second, TEXTS))
    assert len(found) == 2
    text = np.concatenate([each.text for each in found])
    counts = np.bincount(text, minlength=len(TEXTS))
    # gpt2 has no token before the first word, so its first word is the sink and is not counted.
    assert counts.tolist() == [len(each.split()) - UNREAD - 1 for each in TEXTS]
    states = {each.text: each for each in first.token_states(TEXTS)}
    rows = np.flatnonzero(found[0].text == 5)
    assert np.allclose(found[0].x[rows], states[5].states[UNREAD + 1 :], atol=1e-5)


def test_gathering_covers_every_pair() -> None:
    first, second = make_language_model("llama"), make_language_model("gpt2", seed=1)
    part_of = np.arange(len(TEXTS)) % 4
    found = gather(paired(first, second, TEXTS), [(0, 0)], part_of, seed=0)[0]
    pairs = list(paired(first, second, TEXTS))
    x, part = (
        np.concatenate(each) for each in zip(*((p.x[:, 0], part_of[p.text]) for p in pairs), strict=True)
    )
    assert len(x) == found.tokens > 100
    # No map is fitted on the shuffled pairs of other parts.
    assert [set(each) for each in found.shuffled] == [{1, 3}]
    assert np.allclose(found.moments[2].mean_x, x[part == 2].mean(0), atol=1e-5)
    with pytest.raises(BasinError, match="Some part"):
        gather(paired(first, second, TEXTS[:2]), [(0, 0)], part_of, seed=0)
