"""A linear probe: a concept learnt by another reader from memberships alone.

Membership is a function of text, so any reader of the same texts can learn which of them belong.
Its held-out scores are its own version of the concept, cut at the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import linear_reading
from agent.clustering.texts import View, cross_fitted
from agent.concept import Readout
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import calibration_slope, sigmoid, threshold
from agent.membership.similarity import standardised

SMALLEST = 1e-4
SHARPNESS = (-3.0, 4.0)
"""Bounds of the logarithm of nats per deviation: from hardly a boundary to a step."""


@dataclass(frozen=True)
class Probe:
    """A reader's version of memberships."""

    membership: Float[np.ndarray, "passage"]
    """Held out, documents pooled, with the size and sharpness of the targets."""
    single: Float[np.ndarray, "passage"]
    """Held-out log-odds of each passage alone."""
    evidence: Float[np.ndarray, "passage"]
    """The same in deviations of the documents' means."""
    readout: Readout
    """Scores new texts from activations alone."""


def fit_probe(
    activations: Float[np.ndarray, "passage layer width"],
    membership: Float[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
    seed: int,
) -> Probe:
    """Ridge regression of the memberships on the activations' components, cross-fitted by document.

    Raises `BasinError` for fewer than two documents, or activations that are not finite.
    """
    document_of, size = numbered(document_of), float(membership.mean())
    view = View.of(activations, config.components)
    ridge = cross_fitted(view.features, document_of, config, seed)
    found = ridge.evidence(membership)
    single = max(calibration_slope(found, membership), 1e-3) * (found - found.mean())
    single = single - threshold(single, size)
    of_documents = document_means(found, document_of)
    weights, bias = linear_reading(ridge, membership, single, view.projection, activations.shape[1:])
    return Probe(
        membership=cut_like(of_documents, document_means(membership, document_of))[document_of],
        single=single,
        evidence=standardised(found, of_documents),
        readout=Readout(weights, bias, 0.0),
    )


def cut_like(
    scores: Float[np.ndarray, "document"], reference: Float[np.ndarray, "document"]
) -> Float[np.ndarray, "document"]:
    """Memberships in the order of `scores`, with the mean and the mean square of the reference.

    A difference in sharpness alone would lower the soft Jaccard of two concepts. Constant scores
    give the mean.
    """
    size = float(np.clip(reference.mean(), SMALLEST, 1 - SMALLEST))
    standard, wanted = standardised(scores), float((reference**2).mean())

    def cut(log_sharpness: float) -> Float[np.ndarray, "document"]:
        sharp = np.exp(log_sharpness) * standard
        return sigmoid(sharp - threshold(sharp, size))

    low, high = SHARPNESS
    if (cut(high) ** 2).mean() <= wanted:
        return cut(high)
    if (cut(low) ** 2).mean() >= wanted:
        return cut(low)
    return cut(brentq(lambda at: float((cut(at) ** 2).mean()) - wanted, low, high, xtol=1e-3))
