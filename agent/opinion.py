"""Which words of a text carry the topic's opinion of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.topics import Pointer
from agent.words import language

Carried = list[tuple[int, int, float]]
"""First character, end, and p(topic | word, text) of the words that the topic model knows."""


def carried(pointer: Pointer, texts: Sequence[str], least: float = 0.2) -> list[Carried]:
    """The words of every text that are as likely as `least` from the topic, in order.

    A word's responsibility is theta_k phi_kw / sum_j theta_j phi_jw: the topic's weight in the text times the word's in the
    topic, against all topics. It is 0 for words that the model does not know.
    """
    model, topic = pointer.model, pointer.topic
    numbers = {word: number for number, word in enumerate(model.vocabulary)}
    topic_word = model.topic_word
    found = []
    for text, weights in zip(texts, model.infer(texts), strict=True):
        spans: Carried = []
        for begin, end, word in language(model.language).spans(text):
            if word not in numbers:
                continue
            joint = weights * topic_word[:, numbers[word]]
            share = float(joint[topic] / np.maximum(joint.sum(), 1e-300))
            if share >= least:
                spans.append((begin, end, share))
        found.append(spans)
    return found
