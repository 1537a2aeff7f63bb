"""A rival that needs no activations: the topic and the language model multiplied, token by token.

Topical language generation (TLG, Zandie and Mahoor 2103.06434): the next token's probability is proportional to
`p_LM(token) * p(topic | token)^gamma`. The topic model knows whole lower-case words, the language model pieces of
words; `token_evidence` says what a piece tells of the topic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from agent.corpora.words import language
from agent.errors import BasinError
from agent.pointer.topic_model import TopicModel

NATS_BELOW = 8.0
"""Tokens this far below the likeliest are left to the language model."""


class TopicFusion(LogitsProcessor):
    """Adds `gamma * log p(topic | token)` to the log-probabilities of plausible tokens.

    The paper's threshold: where a token's logit is below a limit, the language model's own logit takes the topic's
    place, so that no topic word is lifted into a sentence that has no room for it. The authors' code cuts at an
    absolute logit, with a note that it ought to be relative; here the limit is `nats_below` the likeliest token and
    the logit is the log-ratio to it, so that the offset of a model's logits does not matter. `gamma` 0 is the base
    model.
    """

    def __init__(
        self,
        model: TopicModel,
        topic: int,
        tokenizer: Any,
        gamma: float = 1.0,
        nats_below: float = NATS_BELOW,
    ) -> None:
        """Raises `BasinError` for a topic that does not exist, and where no word of the topic model is a token."""
        self.evidence = torch.from_numpy(token_evidence(model, topic, tokenizer))
        self.gamma = gamma
        self.nats_below = nats_below

    def __call__(
        self, input_ids: Int[Tensor, "text token"], scores: Float[Tensor, "text word"]
    ) -> Float[Tensor, "text word"]:
        relative = scores.float() - scores.float().amax(-1, keepdim=True)
        # A model's vocabulary may have rows that the tokenizer lacks; they say nothing of the topic.
        evidence = torch.zeros(scores.shape[1], device=scores.device)
        known = min(len(self.evidence), len(evidence))
        evidence[:known] = self.evidence[:known].to(scores.device)
        topical = torch.where(relative < -self.nats_below, relative, evidence)
        return scores + (self.gamma * topical).to(scores.dtype)


def token_evidence(model: TopicModel, topic: int, tokenizer: Any) -> Float[np.ndarray, "word"]:
    """`log p(topic | token) - log p(topic)` in nats, for every token of the tokenizer; 0 where a token says nothing.

    A word stands for the token that it begins with after a space, in lower case and capitalised. Words that begin
    with the same token share it: its expected counts are the sum of theirs, so `p(topic | token)` is their average
    by frequency. A token that is a stop word says nothing, whatever else begins with it: it is mostly itself. So do
    the pieces that only go on with a word. `p(topic)` is the topic's share of all words; taking it off changes every
    token alike, but leaves tokens outside the vocabulary where a token of average topicality is.

    Raises:
        BasinError: there is no such topic, or none of the topic model's words begins with a token of its own.
    """
    if not 0 <= topic < model.count:
        raise BasinError(f"There is no topic {topic}; the model has topics 0 to {model.count - 1}.")
    counts = np.zeros((len(tokenizer), 2))
    counts_of_words = np.stack([model.topic_word_counts[topic], model.topic_word_counts.sum(axis=0)], axis=1)
    neutral = {
        first
        for word in language(model.language).stop_words
        for first, whole in _firsts(tokenizer, word)
        if whole
    }
    for word, own in zip(model.vocabulary, counts_of_words, strict=True):
        # A tokenizer without capitals maps both spellings to one token; it counts once.
        for first in {first for first, _ in _firsts(tokenizer, word)} - neutral:
            counts[first] += own
    heard = counts[:, 1] > 0
    if not heard.any():
        raise BasinError(
            "No word of the topic model begins with a token of this tokenizer: fit the topics on text in its language."
        )
    share = counts_of_words.sum(axis=0)
    evidence = np.zeros(len(tokenizer), dtype=np.float32)
    evidence[heard] = np.log(counts[heard, 0] / counts[heard, 1]) - np.log(share[0] / share[1])
    return evidence


def _firsts(tokenizer: Any, word: str) -> list[tuple[int, bool]]:
    """First tokens of a word after a space, in both spellings, and whether each is the whole word."""
    special = set(tokenizer.all_special_ids)
    rows = [
        tokenizer(f" {spelling}", add_special_tokens=False)["input_ids"]
        for spelling in (word, word.capitalize())
    ]
    return [(row[0], len(row) == 1) for row in rows if row and row[0] not in special]
