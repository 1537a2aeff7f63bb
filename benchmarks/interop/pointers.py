"""Pointers from elsewhere: what scikit-learn's and BERTopic's topics, keywords and examples are worth on this corpus.

Gold labels measure here and choose nothing but the topic that is nearest to them, for every rival alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from agent.corpora.load import load_corpus
from agent.corpora.passages import split
from agent.judging.gold import every_gold_labels
from agent.pointer.given import from_bertopic, from_examples, from_keywords, from_sklearn
from agent.pointer.lda import Pointer
from benchmarks.interop.bench import Bench, Row, row


def rows(bench: Bench) -> list[Row]:
    """AP of each pointer over passages read alone, and of the run's own topic."""
    config = bench.store.config
    passages = split(load_corpus(config.corpus), config.passages)
    labels = next(iter(every_gold_labels(config.corpus, passages.documents, bench.say)))
    gold = labels.of_passages(passages.document_of)
    texts = [document.text for document in passages.documents]
    own = bench.store.load_pointer()

    def worth(pointer: Pointer) -> float:
        return float(average_precision_score(gold, pointer.weights(passages.texts)))

    base = worth(own)
    words = config.topics.seed_words or config.topics.words
    effect = "AP of the pointer on passages (value); of the run's own topic (base)"
    found = [
        row(
            "keywords (import)",
            "word list",
            None,
            effect,
            value=worth(Pointer(from_keywords(words, passages.documents), 0)),
            base=base,
        )
    ]
    inside = [at for at in range(len(passages.texts)) if gold[at]]
    examples = [passages.texts[at] for at in inside[:: max(1, len(inside) // 5)][:5]]
    found.append(
        row(
            "examples (import)",
            "5 passages",
            None,
            f"{effect}; the examples are labelled passages",
            base=base,
            value=worth(Pointer(from_examples(examples, passages.documents), 0)),
        )
    )
    for name, model in (("scikit-learn LDA", _lda(texts)), ("scikit-learn NMF", _nmf(texts))):
        topic = int(np.argmax(model.mass_on(words)))
        found.append(
            row(
                "topic_model (import)",
                name,
                "scikit-learn",
                effect,
                value=worth(Pointer(model, topic)),
                base=base,
            )
        )
    return [*found, *_bertopic(bench, passages, words, worth, base, effect)]


def _chunks(texts: Sequence[str], words: int = 1000) -> list[str]:
    pieces = []
    for text in texts:
        running = text.split()
        pieces += [" ".join(running[at : at + words]) for at in range(0, len(running), words)]
    return pieces


def _lda(texts: Sequence[str]) -> Any:
    from sklearn.decomposition import LatentDirichletAllocation
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(stop_words="english", min_df=5, max_df=0.5)
    counts = vectorizer.fit_transform(_chunks(texts))
    return from_sklearn(LatentDirichletAllocation(10, random_state=0, max_iter=20).fit(counts), vectorizer)


def _nmf(texts: Sequence[str]) -> Any:
    from sklearn.decomposition import NMF
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english", min_df=5, max_df=0.5)
    return from_sklearn(
        NMF(10, random_state=0, max_iter=500).fit(vectorizer.fit_transform(_chunks(texts))), vectorizer
    )


def _bertopic(
    bench: Bench, passages: Any, words: Sequence[str], worth: Any, base: float, effect: str
) -> list[Row]:
    """A real BERTopic, fitted on the embedder's vectors; its topic that holds most of the words."""
    from bertopic import BERTopic
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.feature_extraction.text import CountVectorizer

    from loops.round.context import embedded

    _, embeddings = embedded(passages, bench.say)
    model = BERTopic(
        umap_model=PCA(5, random_state=0),
        hdbscan_model=KMeans(20, random_state=0, n_init=3),
        vectorizer_model=CountVectorizer(stop_words="english", min_df=2),
        calculate_probabilities=False,
        verbose=False,
    )
    model.fit(passages.texts, np.asarray(embeddings))
    taken = from_bertopic(model, passages.texts)
    topic = int(np.argmax(taken.mass_on(words)))
    theirs = " ".join(word for word, _ in model.get_topic(topic)[:6])
    return [
        row(
            "topic_model (import)",
            "BERTopic",
            "bertopic",
            f'{effect}; its topic is "{theirs}"',
            base=base,
            value=worth(Pointer(taken, topic)),
        )
    ]
