"""Redundancy and mediation on documents whose latent is planted, and on ones that lack either."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from agent.basin.natural_latent import natural_latent
from agent.membership.log_odds import sigmoid

DOCUMENTS, PASSAGES, SHARE = 400, 6, 0.25
DOCUMENT_OF = np.repeat(np.arange(DOCUMENTS), PASSAGES)


def planted(strength: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bit of every document, passages that report it with noise of deviation 1, and the bit's true posterior."""
    generator = np.random.default_rng(3)
    bit = (generator.random(DOCUMENTS) < SHARE).astype(np.float64)
    evidence = strength * bit[DOCUMENT_OF] + generator.normal(size=len(DOCUMENT_OF))
    means = evidence.reshape(DOCUMENTS, PASSAGES).mean(axis=1)
    odds = PASSAGES * strength * (means - strength / 2) + np.log(SHARE / (1 - SHARE))
    return bit[DOCUMENT_OF], evidence, sigmoid(odds)[DOCUMENT_OF]


def entropy(share: float) -> float:
    return float(-share * np.log(share) - (1 - share) * np.log(1 - share))


def test_a_planted_latent_is_natural_and_one_shuffled_over_documents_is_not_redundant():
    bit, evidence, _ = planted()
    found = natural_latent(bit, evidence, DOCUMENT_OF, seed=0)
    assert found.entropy == pytest.approx(entropy(bit.mean()))
    assert found.redundancy_share < 0.1 and found.mediation < 0.02
    order = np.random.default_rng(1).permutation(DOCUMENTS)
    strange = natural_latent(bit[::PASSAGES][order][DOCUMENT_OF], evidence, DOCUMENT_OF, seed=0)
    assert strange.redundancy_share == pytest.approx(1, abs=0.05)
    # What it does not explain, the true bit, is still shared.
    assert strange.mediation > 0.3


def test_a_second_factor_of_documents_is_not_mediated():
    """Two halves with another document-level normal of variance v beside noise of variance n: I = -log(1 - r^2) / 2."""
    bit, evidence, _ = planted()
    other = 2 * np.random.default_rng(5).normal(size=DOCUMENTS)[DOCUMENT_OF]
    correlation = 4 / (4 + 1 / (PASSAGES / 2))
    found = natural_latent(bit, evidence + other, DOCUMENT_OF, seed=0)
    assert found.mediation == pytest.approx(-0.5 * np.log(1 - correlation**2), rel=0.15)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0, 4.0])
def test_a_membership_read_off_both_halves_still_mediates(strength):
    """Holding a posterior fixed would make its halves look opposed; the bit it speaks of leaves nothing shared."""
    _, evidence, posterior = planted(strength)
    assert natural_latent(posterior, evidence, DOCUMENT_OF, seed=0).mediation < 0.02


def test_a_half_loses_what_the_posterior_of_the_other_half_adds():
    """The weaker the passages, the less one half says of what both do: up to everything, never more by much."""
    shares = []
    for strength in (4.0, 1.0, 0.5):
        _, evidence, posterior = planted(strength)
        found = natural_latent(posterior, evidence, DOCUMENT_OF, seed=0)
        of_both = entropy(posterior.mean()) - np.mean(
            [entropy(np.clip(m, 1e-12, 1 - 1e-12)) for m in posterior]
        )
        shares.append(found.redundancy / of_both)
    assert 0 <= shares[0] < shares[1] < shares[2] < 1.05


def test_too_few_documents_of_several_passages_say_nothing():
    bit, evidence, _ = planted()
    few = np.arange(DOCUMENTS * PASSAGES)
    assert natural_latent(bit, evidence, few, seed=0) is None
    few[:18] = np.repeat(np.arange(9), 2)
    assert natural_latent(bit, evidence, few, seed=0) is None
    few[18:20] = 9
    assert natural_latent(bit, evidence, few, seed=0) is not None


@pytest.mark.parametrize("constant", [0.0, 0.3, 1.0])
def test_a_constant_membership_has_nothing_to_be_read(constant):
    _, evidence, _ = planted()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = natural_latent(np.full(len(evidence), constant), evidence, DOCUMENT_OF, seed=0)
    assert np.isfinite([found.redundancy, found.redundancy_share, found.mediation, found.entropy]).all()
    assert found.redundancy == pytest.approx(0, abs=1e-3)
    assert found.mediation > 0.3  # what the halves share is all left
    assert found.entropy == (0 if constant != 0.3 else pytest.approx(entropy(0.3)))


def test_constant_evidence_says_nothing_and_shares_nothing():
    bit, evidence, _ = planted()
    found = natural_latent(bit, np.full(len(evidence), 0.1), DOCUMENT_OF, seed=0)
    assert found.redundancy_share == pytest.approx(1, abs=0.02) and found.mediation == 0
