"""Describe a fitted topic model to a reader: distances, relevant words, exclusivity and coherence.

Distances and relevance follow LDAvis (Sievert and Shirley 2014). Coherence is gensim's (Röder, Both
and Hinneburg 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gensim.corpora import Dictionary
from gensim.models import CoherenceModel
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import ClassicalMDS

from agent.pointer.topic_model import TopicModel

COHERENT_WORDS = 10
"""Most probable words of a topic over which its coherence is computed."""


def distances(topic_word: Float[np.ndarray, "topic word"]) -> Float[np.ndarray, "topic topic"]:
    """Jensen-Shannon distances between topics: square root of the divergence in bits, in [0, 1].

    0 for equal topics, 1 without a common word. The square root is a Euclidean metric (Endres and
    Schindelin 2003), so classical scaling has no negative eigenvalues.
    """
    divergent = np.nan_to_num(pdist(topic_word, "jensenshannon"))  # rounding below zero gives NaN
    apart: Float[np.ndarray, "topic topic"] = squareform(np.minimum(divergent / np.sqrt(np.log(2)), 1.0))
    return apart


def places(apart: Float[np.ndarray, "topic topic"]) -> tuple[Float[np.ndarray, "topic axis"], float]:
    """Topics in a plane by classical scaling, and the share of squared distances shown.

    The larger extent is horizontal. On each axis the outermost topic is on the positive side.
    """
    axes = min(2, len(apart) - 1)
    scaled = ClassicalMDS(n_components=axes, metric="precomputed").fit(apart)
    found = np.zeros((len(apart), 2))
    found[:, :axes] = scaled.embedding_
    furthest = np.abs(found).argmax(axis=0)
    found *= np.where(found[furthest, [0, 1]] < 0, -1, 1)
    whole, shown = (apart**2).sum(), (squareform(pdist(found)) ** 2).sum()
    return found, float(shown / whole) if whole > 0 else 1.0


def topic_shares(model: TopicModel) -> Float[np.ndarray, "topic"]:
    """P(topic): the share of all words assigned to a topic, including its prior's."""
    counts: Float[np.ndarray, "topic"] = model.topic_word_counts.sum(axis=1)
    shares: Float[np.ndarray, "topic"] = counts / counts.sum()
    return shares


def word_shares(model: TopicModel) -> Float[np.ndarray, "word"]:
    """P(word) under the model."""
    counts: Float[np.ndarray, "word"] = model.topic_word_counts.sum(axis=0)
    shares: Float[np.ndarray, "word"] = counts / counts.sum()
    return shares


def relevance(model: TopicModel, weight: float) -> Float[np.ndarray, "topic word"]:
    """`weight * log p(w|t) + (1 - weight) * log(p(w|t) / p(w))`: Sievert and Shirley (2014), eq. 1.

    Weight 1 ranks by probability and 0 by lift; they recommend 0.6. A word that a topic never uses
    has -inf.
    """
    with np.errstate(divide="ignore"):
        lift = np.log(model.topic_word) - (1 - weight) * np.log(word_shares(model))
        found: Float[np.ndarray, "topic word"] = lift
        return found


def most_relevant(model: TopicModel, weight: float, count: int) -> Int[np.ndarray, "topic rank"]:
    """Numbers of the most relevant words of every topic; ties in the vocabulary's order."""
    found = np.round(relevance(model, weight), 9)  # otherwise rounding would order ties
    return np.argsort(-found, axis=1, kind="stable")[:, :count]


def exclusivity(model: TopicModel, words: int = COHERENT_WORDS) -> Float[np.ndarray, "topic"]:
    """Mean share of the occurrences of a topic's most probable words assigned to it; in [0, 1]."""
    given_word = model.topic_word_counts / model.topic_word_counts.sum(axis=0)
    found: Float[np.ndarray, "topic"] = np.take_along_axis(
        given_word, most_relevant(model, 1.0, words), axis=1
    ).mean(axis=1)
    return found


def coherences(
    model: TopicModel, texts: Sequence[str], words: int = COHERENT_WORDS
) -> Float[np.ndarray, "topic"]:
    """Normalised pointwise mutual information of a topic's most probable words, in [-1, 1].

    Words co-occur within windows of ten words. NaN if a topic's words do not occur in the texts.
    """
    tokens = [model.words_of(text) for text in texts]
    tops = [model.top_words(topic, words) for topic in range(model.count)]
    dictionary = Dictionary(tokens)
    dictionary.add_documents([word for word in top if word not in dictionary.token2id] for top in tops)
    found = CoherenceModel(
        topics=tops, texts=tokens, dictionary=dictionary, coherence="c_npmi", topn=words, processes=1
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array(found.get_coherence_per_topic(), dtype=np.float64)
