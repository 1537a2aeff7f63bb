"""Means, memberships and folds of whole documents."""

from __future__ import annotations

import numpy as np
import pytest

from agent.errors import BasinError
from agent.membership.documents import document_folds, document_mean, document_membership


def test_passages_of_a_document_add_up_as_witnesses():
    pooled, document_of = np.array([1.0, 1.0, 1.0, -1.0]), np.array([0, 0, 0, 1])
    membership = document_membership(pooled, document_of, 0.5)
    odds = np.log(membership / (1 - membership))
    # Three witnesses of log-odds 1 - b against one of -1 - b.
    assert membership.mean() == pytest.approx(0.5)
    assert odds[0] / 3 - odds[3] == pytest.approx(2)


def test_document_mean_by_hand():
    assert document_mean(np.array([1.0, 5, 3, 9]), np.array([0, 1, 0, 1])).tolist() == [2, 7, 2, 7]
    assert document_mean(np.array([1.0, 5, 3, 9]), np.array([4, 9, 4, 9])).tolist() == [2, 7, 2, 7]


def test_folds_keep_documents_whole_and_balanced():
    document_of = np.repeat(np.arange(23), np.random.default_rng(0).integers(1, 30, size=23))
    fold_of = document_folds(document_of, 5, seed=1)
    assert fold_of.shape == document_of.shape
    assert all(len(set(fold_of[document_of == at])) == 1 for at in range(23))
    sizes = np.bincount(fold_of, minlength=5)
    assert sizes.max() - sizes.min() <= 15
    assert np.array_equal(fold_of, document_folds(document_of, 5, seed=1))


def test_more_folds_than_documents_is_refused():
    with pytest.raises(BasinError, match="5 folds need 5 documents, not 2"):
        document_folds(np.array([0, 0, 1]), 5, seed=0)
