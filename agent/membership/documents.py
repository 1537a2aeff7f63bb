"""Means, memberships and folds of whole documents."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.membership.log_odds import sigmoid, threshold


def numbered(document_of: Int[np.ndarray, "passage"]) -> Int[np.ndarray, "passage"]:
    """Documents numbered from 0 without gaps."""
    return np.unique(document_of, return_inverse=True)[1]


def document_means(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "document"]:
    """Mean of every document's values; documents are numbered from 0 without gaps."""
    return np.bincount(document_of, weights=values) / np.bincount(document_of)


def document_mean(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Every passage's value replaced by the mean over its document."""
    document_of = numbered(document_of)
    return np.asarray(document_means(values, document_of)[document_of])


def document_membership(
    pooled: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], size: float
) -> Float[np.ndarray, "passage"]:
    """Membership of whole documents, with mean `size` over the passages.

    Given the document's subject its passages are independent (mediation), so their log-odds add up:
    sigmoid(n_d (mean log-odds - b)), with b set by the size.
    """
    passages = np.bincount(document_of)[document_of].astype(np.float64)
    shift = threshold(pooled, size, passages)
    return sigmoid(passages * (pooled - shift))


def document_folds(
    document_of: Int[np.ndarray, "passage"], folds: int, seed: int
) -> Int[np.ndarray, "passage"]:
    """A fold from 0 on for every passage; documents stay whole, folds are of nearly equal size.

    Raises `BasinError` when there are fewer documents than folds.
    """
    documents, sizes = np.unique(document_of, return_counts=True)
    if len(documents) < folds:
        raise BasinError(f"{folds} folds need {folds} documents, not {len(documents)}: use fewer folds.")
    order = np.random.default_rng(seed).permutation(len(documents))
    # The largest documents first, each to the emptiest fold; equal ones in random order.
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, filled = np.empty(len(documents), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for document in order:
        fold_of[document] = np.argmin(filled)
        filled[fold_of[document]] += sizes[document]
    return fold_of[np.searchsorted(documents, document_of)]
