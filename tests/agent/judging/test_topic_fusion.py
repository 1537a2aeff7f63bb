"""Fusion by hand, words that share a token, and the two ends of gamma on a random model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import make_language_model, make_tokenizer, sentence

from agent.errors import BasinError
from agent.judging.topic_fusion import TopicFusion, token_evidence
from agent.language_model.decoding.loop import GenerationConfig
from agent.pointer.topic_model import TopicModel

SHORT = GenerationConfig(new_tokens=8, top_k=20)


class Pieces:
    """A tokenizer of known pieces: a text is its longest known beginning, and what follows is one more token."""

    known = {" the": 0, " sl": 1, " clue": 2, " Clue": 3, " in": 4, "rest": 5, "<unk>": 6}
    all_special_ids = (6,)

    def __len__(self) -> int:
        return len(self.known)

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        beginnings = [piece for piece in self.known if text.startswith(piece)]
        if not beginnings:
            return {"input_ids": [6]}
        piece = max(beginnings, key=len)
        return {"input_ids": [self.known[piece]] + ([5] if piece != text else [])}


def topics(counts: dict[str, tuple[float, float]]) -> TopicModel:
    table = np.array(list(counts.values()), dtype=np.float64).T
    return TopicModel(tuple(counts), table, np.ones(2), 0)


def model_of_words() -> TopicModel:
    """Of the tests' ninety words, the topic is the last five."""
    return topics({f"w{index}": (20.0, 1.0) if index >= 85 else (0.1, 1.0) for index in range(90)})


def test_evidence_by_hand():
    model = topics(
        {"clue": (6, 2), "sleuth": (3, 1), "slow": (0.5, 7.5), "informer": (4, 0.5), "x": (0.5, 5)}
    )
    found = token_evidence(model, 0, Pieces())
    share = np.log(14 / 30)
    expected = np.zeros(7)
    expected[[2, 3]] = np.log(6 / 8) - share
    expected[1] = np.log(3.5 / 12) - share  # sleuth and slow by their counts, and not by their mean of logs
    # " in" is itself a word that says nothing, though an informer begins with it; "the" and "x" say nothing.
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_topics_and_tokenizers_that_do_not_fit_are_named():
    with pytest.raises(BasinError, match="no topic 2"):
        token_evidence(model_of_words(), 2, make_tokenizer())
    with pytest.raises(BasinError, match="No word of the topic model"):
        token_evidence(topics({"x": (1, 2), "y": (2, 1)}), 0, Pieces())


def test_fused_distribution_by_hand():
    fusion = TopicFusion(model_of_words(), 0, make_tokenizer(), gamma=0.7, nats_below=3.0)
    scores = torch.randn(2, 96, generator=torch.Generator().manual_seed(0)) * 3 + 40
    fused = fusion(torch.zeros(2, 1, dtype=torch.long), scores).softmax(-1)
    evidence = torch.cat([fusion.evidence, torch.zeros(2)])
    weights = torch.empty(2, 96)
    for row in range(2):
        for token in range(96):
            gap = scores[row, token] - scores[row].max()
            weights[row, token] = gap + 0.7 * (gap if gap < -3 else evidence[token])
    torch.testing.assert_close(fused, weights.softmax(-1), rtol=1e-4, atol=1e-6)
    moved = fusion(torch.zeros(2, 1, dtype=torch.long), scores + 9).softmax(-1)
    torch.testing.assert_close(moved, fused, rtol=1e-3, atol=1e-6)


def test_gamma_zero_is_the_base_model_and_a_large_one_writes_topic_words():
    language_model = make_language_model()
    prompts, seeds = [sentence(1, 2, 3), sentence(4, 5)], [10, 11]
    base = language_model.generate(prompts, seeds, SHORT)

    def fused(gamma: float) -> list[str]:
        fusion = TopicFusion(model_of_words(), 0, language_model.tokenizer, gamma, nats_below=1e3)
        return language_model.generate(prompts, seeds, SHORT, processors=(fusion,))

    assert fused(0.0) == base
    assert {word for text in fused(50.0) for word in text.split()} <= {f"w{index}" for index in range(85, 90)}
    assert not {word for text in base for word in text.split()} <= {f"w{index}" for index in range(85, 90)}


def test_implausible_tokens_are_not_lifted():
    fusion = TopicFusion(model_of_words(), 0, make_tokenizer(), gamma=1.0, nats_below=5.0)
    scores = torch.zeros(1, 96)
    scores[0, -10:] = -20.0  # all of the topic's words are among the last ten
    fused = fusion(torch.zeros(1, 1, dtype=torch.long), scores)
    assert (fused[0, -10:] < scores[0, -10:]).all()
