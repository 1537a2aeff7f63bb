"""Examples, or weights of the corpus's own documents, as a topic: its words are what is peculiar to them.

Their words are mostly everybody's. What is left when the corpus's share of each is taken off is a parsimonious language model
(Hiemstra, Robertson and Zaragoza 2004): texts as a mixture of their own words and the corpus's, its own part found by EM.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer

from agent.corpora.words import ENGLISH, language
from agent.errors import BasinError
from agent.pointer.lda import TopicModel
from agent.types import Document

OWN_SHARE = 0.1
"""Lambda: how much of a text is taken to be its own; the authors' choice for documents."""
STEPS = 50
STRENGTH = 1e5
"""Words' worth of belief in each topic: they are given, so inference is not to doubt them."""
SMOOTHING = 1e-3
"""Share of the corpus's words in a topic, so that no word is impossible."""
MINIMUM_DOCUMENTS = 2
"""A word must occur in so many documents: others are names and misprints."""
EXAMPLE_ALPHA = (0.2, 0.8)


def from_examples(examples: Sequence[str], documents: Sequence[Document], code: str = ENGLISH) -> TopicModel:
    """Two topics: what is peculiar to the examples, and the corpus's words.

    Raises:
        BasinError: the examples have no word that the corpus has, in two documents.
    """
    vocabulary, counts = _counted(documents, code)
    own = _vectorizer(vocabulary, code).transform(examples).sum(axis=0)
    words = np.asarray(own, dtype=np.float64)[0]
    if not words.any():
        raise BasinError(
            f"The {len(examples)} examples have no word that occurs in two of the corpus's documents: "
            "give longer ones, in its language."
        )
    rest = np.asarray(counts.sum(axis=0), dtype=np.float64)[0]
    return TopicModel(vocabulary, _topics(words, rest), np.array(EXAMPLE_ALPHA), 0, code)


def from_document_weights(
    weights: Float[np.ndarray, "document"], documents: Sequence[Document], code: str = ENGLISH
) -> tuple[TopicModel, str]:
    """Two topics: what is peculiar to the documents, by weight, and the rest; and how well words tell the weights.

    The topic can so read texts that have no weight: those that are written.

    Raises:
        BasinError: the weights are all alike, or not in [0, 1].
    """
    if len(weights) != len(documents):
        raise BasinError(
            f"There are {len(weights)} weights for {len(documents)} documents; give one for each."
        )
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() > 1:
        raise BasinError("Document weights must be numbers from 0 to 1: divide them by their largest.")
    if weights.max() - weights.min() < 1e-6:
        raise BasinError("The document weights are all alike, and point at nothing: give those of one topic.")
    vocabulary, counts = _counted(documents, code)
    theirs = np.asarray(weights @ counts, dtype=np.float64)
    rest = np.asarray(counts.sum(axis=0), dtype=np.float64)[0]
    share = float(np.clip(weights.mean(), 0.02, 0.98))
    model = TopicModel(vocabulary, _topics(theirs, rest), np.array([share, 1 - share]), 0, code)
    read = model.infer([document.text for document in documents])[:, 0]
    agreement = float(spearmanr(weights, read).statistic) if np.ptp(read) > 0 else 0.0
    return model, (
        f"Pointer: {int((weights >= 0.5).sum())} of {len(weights)} documents weigh half or more; read off their words, the "
        f"weights come out with a rank correlation of {agreement:.2f}."
    )


def _counted(documents: Sequence[Document], code: str) -> tuple[tuple[str, ...], csr_matrix]:
    """The corpus's vocabulary, and how often each document has each of its words."""
    try:
        words_of = language(code).words_of
        vectorizer = CountVectorizer(analyzer=words_of, min_df=min(MINIMUM_DOCUMENTS, len(documents)))
        counts = vectorizer.fit_transform([document.text for document in documents])
    except ValueError:
        raise BasinError("No word occurs in two of the corpus's documents: give more text.") from None
    return tuple(map(str, vectorizer.get_feature_names_out())), counts


def _vectorizer(vocabulary: Sequence[str], code: str) -> CountVectorizer:
    return CountVectorizer(analyzer=language(code).words_of, vocabulary=list(vocabulary))


def _topics(
    words: Float[np.ndarray, "word"], corpus: Float[np.ndarray, "word"]
) -> Float[np.ndarray, "topic word"]:
    """Counts of the peculiar topic and of the corpus."""
    everybody = (corpus + 0.5) / (corpus + 0.5).sum()
    own = (1 - SMOOTHING) * peculiar(words, everybody) + SMOOTHING * everybody
    return STRENGTH * np.stack([own, everybody])


def peculiar(
    words: Float[np.ndarray, "word"], corpus: Float[np.ndarray, "word"], share: float = OWN_SHARE
) -> Float[np.ndarray, "word"]:
    """P(w | D) of Hiemstra et al. (2004), eq. 4 and 5: what a text's words owe to it and not to the corpus; sums to 1.

    Args:
        words: counts in the text.
        corpus: P(w | C), summing to 1, nowhere 0.
    """
    own = words / words.sum()
    for _ in range(STEPS):
        responsible = words * share * own / (share * own + (1 - share) * corpus)
        own = responsible / responsible.sum()
    return own
