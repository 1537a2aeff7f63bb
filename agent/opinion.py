"""Which words of a text carry the topic's opinion of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.topics import WORD, Pointer, words_of

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
        for match in WORD.finditer(text):
            known = [numbers[word] for word in words_of(match.group()) if word in numbers]
            if not known:
                continue
            joint = weights * topic_word[:, known[0]]
            share = float(joint[topic] / np.maximum(joint.sum(), 1e-300))
            if share >= least:
                spans.append((match.start(), match.end(), share))
        found.append(spans)
    return found
