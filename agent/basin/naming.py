"""A name for a concept: the phrase of its texts whose meaning tells members from others (KeyBERT, Grootendorst 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from agent.basin.fixed_points import telling_words
from agent.corpora.words import language

FEWEST_PASSAGES, MOST_PHRASES = 5, 5000
"""Passages that a phrase must stand in, and the most frequent phrases that are counted."""
MOST_PASSAGES = 5000
"""Evenly spaced over the corpus, so that a table of passages and phrases fits into memory."""
CANDIDATES = 300
"""Phrases that are read: those that stand in members rather than in others."""


def concept_name(
    membership: Float[np.ndarray, "passage"],
    texts: Sequence[str],
    embeddings: Float[np.ndarray, "passage column"],
    embed: Callable[[Sequence[str]], Float[np.ndarray, "text column"]],
    code: str,
) -> str | None:
    """One word or two, in the language `code`; None for texts that share no phrase, or without a boundary."""
    counts = CountVectorizer(
        tokenizer=language(code).words_of,
        token_pattern=None,
        ngram_range=(1, 2),
        binary=True,
        min_df=FEWEST_PASSAGES,
        max_features=MOST_PHRASES,
    )
    chosen = np.linspace(0, len(texts) - 1, min(len(texts), MOST_PASSAGES)).astype(int)
    membership, embeddings = membership[chosen], embeddings[chosen]
    if membership.sum() <= 0 or (1 - membership).sum() <= 0:
        return None
    try:
        holds = counts.fit_transform([texts[at] for at in chosen.tolist()]).toarray().astype(bool)
    except ValueError:  # scikit-learn's, for no phrase at all
        return None
    phrases = counts.get_feature_names_out()[telling_words(membership, holds, CANDIDATES)].tolist()
    units = normalize(embeddings)
    inside, outside = (np.average(units, axis=0, weights=each) for each in (membership, 1 - membership))
    return str(phrases[int(np.argmax(normalize(embed(phrases)) @ (inside - outside)))])
