"""Keywords as a topic: one topic of nothing but the keywords, and one of the rest of the corpus."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from agent.corpora.words import ENGLISH, language
from agent.errors import BasinError
from agent.pointer.topic_model import TopicModel
from agent.types import Document

logger = logging.getLogger(__name__)

STRENGTH = 1e6
"""Pseudo-counts of each topic. The topics are given, so inference must not change them."""
ALPHA = (0.05, 1.0)
"""Prior words of each topic in a text. A text without a keyword is outside by 3 nats and its length."""
FLOOR = 1e-3


def from_keywords(keywords: Sequence[str], documents: Sequence[Document], code: str = ENGLISH) -> TopicModel:
    """Two topics: the keywords in equal shares, and the corpus's other words.

    Apart from the prior, a text's weight in topic 0 is the share of its words that are keywords.
    Raises `BasinError` if a keyword is no single word of three letters or more, or none is in the
    corpus.
    """
    words_of = language(code).words_of
    wanted = list(dict.fromkeys(keyword.strip().lower() for keyword in keywords))
    for keyword in wanted:
        if words_of(keyword) != [keyword]:
            raise BasinError(
                f"pointer.keywords has {keyword!r}: give single words of three letters and more, none of them a stop word."
            )
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(words_of(document.text))
    missing = [keyword for keyword in wanted if keyword not in counts]
    if len(missing) == len(wanted):
        raise BasinError(
            f"None of pointer.keywords ({', '.join(wanted)}) is in the corpus; choose other words."
        )
    if missing:
        logger.warning(f"Keywords that are not in the corpus: {', '.join(missing)}.")
    vocabulary = tuple(sorted(counts))
    chosen = np.isin(vocabulary, wanted)
    rest = np.array([counts[word] for word in vocabulary], dtype=np.float64)
    topics = np.stack([chosen.astype(np.float64), np.where(chosen, 0, rest)])
    if not topics[1].any():
        raise BasinError("Every word of the corpus is among pointer.keywords; choose fewer.")
    topics *= STRENGTH / topics.sum(axis=1, keepdims=True)
    return TopicModel(vocabulary, np.maximum(topics, FLOOR), np.array(ALPHA), 0, code)
