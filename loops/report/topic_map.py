"""How topics lie to each other, which words tell them, and how coherent these are: what a reader chooses a topic by.

Distances and relevance as in LDAvis (Sievert and Shirley 2014), distinctiveness as in Termite (Chuang, Manning and Heer
2012), coherence by gensim (Röder, Both and Hinneburg 2015). Maths on a fitted model; nothing here chooses a topic.
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
"""Most probable words of a topic that its coherence is taken over."""


def distances(topic_word: Float[np.ndarray, "topic word"]) -> Float[np.ndarray, "topic topic"]:
    """Jensen-Shannon distances between topics: the square root of the divergence in bits, in [0, 1].

    1 where two topics share no word, 0 where they are the same. The square root, not the divergence itself, is a
    metric, and one that a Euclidean space can hold (Endres and Schindelin 2003), so a map of it leaves nothing negative.
    """
    divergent = np.nan_to_num(pdist(topic_word, "jensenshannon"))  # rounding below zero gives no number
    return squareform(np.minimum(divergent / np.sqrt(np.log(2)), 1.0))


def places(apart: Float[np.ndarray, "topic topic"]) -> tuple[Float[np.ndarray, "topic axis"], float]:
    """Topics in a plane by classical multidimensional scaling, and the share of all squared distances that it shows.

    The larger extent is across; of each axis the topic furthest out lies on the positive side. Two topics lie on a line.
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
    """P(topic): the share of all words that the model lays to a topic, its prior's words too."""
    return model.topic_word_counts.sum(axis=1) / model.topic_word_counts.sum()


def word_shares(model: TopicModel) -> Float[np.ndarray, "word"]:
    """P(word), as the model has it."""
    return model.topic_word_counts.sum(axis=0) / model.topic_word_counts.sum()


def relevance(model: TopicModel, weight: float) -> Float[np.ndarray, "topic word"]:
    """`weight * log p(w|t) + (1 - weight) * log(p(w|t) / p(w))`: lambda of Sievert and Shirley (2014), eq. 1.

    1 ranks words by their probability, 0 by how much more probable they are here than anywhere; they find 0.6 is what
    people tell topics by. A word that a topic never uses has -inf.
    """
    with np.errstate(divide="ignore"):
        return np.log(model.topic_word) - (1 - weight) * np.log(word_shares(model))


def most_relevant(model: TopicModel, weight: float, count: int) -> Int[np.ndarray, "topic rank"]:
    """Numbers of the most relevant words of every topic, the first one first; equal ones in the vocabulary's order."""
    found = np.round(relevance(model, weight), 9)  # or rounding would order what is equal
    return np.argsort(-found, axis=1, kind="stable")[:, :count]


def distinctiveness(model: TopicModel) -> Float[np.ndarray, "word"]:
    """How much a word tells of the topic that it comes from, in nats: KL(P(topic|word) || P(topic)), at least 0.

    0 where a word is as usual in every topic, `-log P(topic)` where it occurs in that topic alone.
    """
    counts = model.topic_word_counts
    given_word = counts / counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = given_word * np.log(given_word / topic_shares(model)[:, None])
    return np.maximum(np.nan_to_num(terms).sum(axis=0), 0.0)


def exclusivity(model: TopicModel, words: int = COHERENT_WORDS) -> Float[np.ndarray, "topic"]:
    """Of every topic's most probable words the mean share of their occurrences that are laid to it; in [0, 1]."""
    given_word = model.topic_word_counts / model.topic_word_counts.sum(axis=0)
    return np.take_along_axis(given_word, most_relevant(model, 1.0, words), axis=1).mean(axis=1)


def coherences(
    model: TopicModel, texts: Sequence[str], words: int = COHERENT_WORDS
) -> dict[str, Float[np.ndarray, "topic"]]:
    """How much more often than by chance a topic's most probable words occur together, by two of gensim's measures.

    `c_npmi`: in [-1, 1], within windows of ten topic words (normalised pointwise mutual information). `u_mass`: at most
    about 0, within whole texts. Nothing is a number where a topic's words do not occur in the texts.
    """
    tokens = [model.words_of(text) for text in texts]
    tops = [model.top_words(topic, words) for topic in range(model.count)]
    dictionary = Dictionary(tokens)
    dictionary.add_documents([word for word in top if word not in dictionary.token2id] for top in tops)
    measured = {}
    for measure in ("c_npmi", "u_mass"):
        corpus = [dictionary.doc2bow(each) for each in tokens] if measure == "u_mass" else None
        found = CoherenceModel(
            topics=tops,
            texts=tokens,
            corpus=corpus,
            dictionary=dictionary,
            coherence=measure,
            topn=words,
            processes=1,
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            measured[measure] = np.array(found.get_coherence_per_topic(), dtype=np.float64)
    return measured
