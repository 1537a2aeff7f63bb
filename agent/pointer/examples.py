"""Keywords, examples, or weights of the corpus's documents as a topic, beside one of the rest.

Examples and weighted documents become the words peculiar to them. The corpus's share is removed
from their word counts by a parsimonious language model (Hiemstra, Robertson and Zaragoza 2004): a
mixture of own words and corpus words, fitted by EM.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer

from agent.corpora.words import ENGLISH, UNSPACED, language
from agent.errors import BasinError
from agent.pointer.topic_model import TopicModel
from agent.types import Document

logger = logging.getLogger(__name__)

OWN_SHARE = 0.1
"""Lambda: a text's share of own words; the authors' choice for documents."""
STEPS = 50
STRENGTH = 1e5
"""Pseudo-counts of each topic. The topics are given, so inference must not change them."""
SMOOTHING = 1e-3
"""Share of corpus words in the peculiar topic, so that no word has probability 0."""
MINIMUM_DOCUMENTS = 2
"""Documents a word must occur in. Rarer words are names and misprints."""
EXAMPLE_ALPHA = (0.2, 0.8)


def from_examples(examples: Sequence[str], documents: Sequence[Document], code: str = ENGLISH) -> TopicModel:
    """Two topics: the words peculiar to the examples, and the corpus's words.

    Raises `BasinError` if no word of the examples occurs in two documents of the corpus.
    """
    vocabulary, counts = _count_words(documents, code)
    vectorizer = CountVectorizer(analyzer=language(code).words_of, vocabulary=list(vocabulary))
    words = np.asarray(vectorizer.transform(examples).sum(axis=0), dtype=np.float64)[0]
    if not words.any():
        raise BasinError(
            f"The {len(examples)} examples have no word that occurs in two of the corpus's documents: "
            "give longer ones, in its language."
        )
    return TopicModel(vocabulary, _topics(words, counts), np.array(EXAMPLE_ALPHA), 0, code)


def from_document_weights(
    weights: Float[np.ndarray, "document"], documents: Sequence[Document], code: str = ENGLISH
) -> TopicModel:
    """Two topics, of the words peculiar to the weighted documents and of the rest.

    The topics also read generated texts, which have no weight. Logs the rank correlation between
    the weights, one per document in [0, 1], and the weights read from words. Raises `BasinError` if
    the weights are all alike.
    """
    if weights.max() - weights.min() < 1e-6:
        raise BasinError("The document weights are all alike, and point at nothing: give those of one topic.")
    vocabulary, counts = _count_words(documents, code)
    topics = _topics(np.asarray(weights @ counts, dtype=np.float64), counts)
    share = float(np.clip(weights.mean(), 0.02, 0.98))
    model = TopicModel(vocabulary, topics, np.array([share, 1 - share]), 0, code)
    read = model.infer([document.text for document in documents])[:, 0]
    agreement = float(spearmanr(weights, read).statistic) if np.ptp(read) > 0 else 0.0
    logger.info(
        f"Pointer: {int((weights >= 0.5).sum())} of {len(weights)} documents weigh half or more; the weights read from "
        f"their words have a rank correlation of {agreement:.2f}."
    )
    return model


def _count_words(documents: Sequence[Document], code: str) -> tuple[tuple[str, ...], csr_matrix]:
    """The corpus's vocabulary, and the counts of its words in each document."""
    vectorizer = CountVectorizer(
        analyzer=language(code).words_of, min_df=min(MINIMUM_DOCUMENTS, len(documents))
    )
    try:
        counts = vectorizer.fit_transform([document.text for document in documents])
    except ValueError:
        raise BasinError(
            f"No word of {code!r}, apart from stop words, occurs in two of the corpus's documents: give more text, or set "
            "topics.language to its language (und has no stop words)."
        ) from None
    return tuple(map(str, vectorizer.get_feature_names_out())), counts


def _topics(words: Float[np.ndarray, "word"], counts: csr_matrix) -> Float[np.ndarray, "topic word"]:
    """Word counts of the peculiar topic and of the corpus, from its counts by document."""
    corpus = np.asarray(counts.sum(axis=0), dtype=np.float64)[0] + 0.5
    background = corpus / corpus.sum()
    own = (1 - SMOOTHING) * peculiar(words, background) + SMOOTHING * background
    return STRENGTH * np.stack([own, background])


def peculiar(
    words: Float[np.ndarray, "word"], corpus: Float[np.ndarray, "word"], share: float = OWN_SHARE
) -> Float[np.ndarray, "word"]:
    """P(w | D) of Hiemstra et al. (2004), eq. 4 and 5: a text's own word distribution; sums to 1.

    Args:
        words: counts in the text.
        corpus: P(w | C), summing to 1, nowhere 0.
    """
    own: np.ndarray = words / words.sum()
    for _ in range(STEPS):
        responsible = words * share * own / (share * own + (1 - share) * corpus)
        own = responsible / responsible.sum()
    return own


KEYWORD_STRENGTH = 1e6
KEYWORD_ALPHA = (0.05, 1.0)
"""Prior words of each topic in a text. A text without a keyword is outside by 3 nats and its length."""
FLOOR = 1e-3


def from_keywords(keywords: Sequence[str], documents: Sequence[Document], code: str = ENGLISH) -> TopicModel:
    """Two topics: the keywords in equal shares, and the corpus's other words.

    Apart from the prior, a text's weight in topic 0 is the share of its words that are keywords.
    Raises `BasinError` if a keyword is no single word of three letters or more, or none is in the
    corpus.
    """
    words_of = language(code).words_of
    wanted: list[str] = []
    for keyword in keywords:
        parts = words_of(keyword.strip())
        wanted += [part for part in parts if part not in wanted]
        if not parts or (len(parts) > 1 and code not in UNSPACED):
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
    topics *= KEYWORD_STRENGTH / topics.sum(axis=1, keepdims=True)
    return TopicModel(vocabulary, np.maximum(topics, FLOOR), np.array(KEYWORD_ALPHA), 0, code)
