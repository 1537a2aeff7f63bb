"""A notion taught to another reader: from memberships alone, without any map. Maths only.

Membership is a function of text, so whoever reads the same texts can be told which of them belong. What the reader then
says of texts it was not told about is its own notion of the same thing: a linear one, cut at the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Texts, divisions_of
from agent.clustering.two_witnesses import linear_reading
from agent.concept import Readout
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import calibration_slope, sigmoid, threshold
from agent.membership.projection import Projection
from agent.membership.ridge import CrossFittedRidge
from agent.membership.similarity import in_units_of, spread

SMALLEST = 1e-4
SHARPNESS = (-3.0, 4.0)
"""Logarithms of the nats per deviation between which a sharpness is looked for: from hardly a boundary to a step."""


@dataclass(frozen=True)
class Taught:
    """What a reader makes of memberships that it was told."""

    membership: Float[np.ndarray, "passage"]
    """Documents pooled, as large and as sharp as what was told, every document by classifiers that were not told about it."""
    single: Float[np.ndarray, "passage"]
    """Log-odds of each passage alone, held out likewise."""
    evidence: Float[np.ndarray, "passage"]
    """The same in deviations of the documents' means."""
    readout: Readout
    """Reads new texts from activations alone."""


def teach(
    activations: Float[np.ndarray, "passage layer width"],
    membership: Float[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
    seed: int,
) -> Taught:
    """Ridge regression of the memberships on the activations' components, cross-fitted by document.

    Raises `BasinError` for fewer than two documents, or activations that are not finite.
    """
    document_of = numbered(document_of)
    projection = Projection.fit(activations, config.components)
    divisions = divisions_of(document_of, 0, config, seed)
    features = projection.apply(activations)
    ridge = CrossFittedRidge(features, np.ones(len(features)), divisions, config.penalty)
    found = ridge.evidence(membership)
    slope = max(calibration_slope(found, membership), 1e-3)
    size = float(membership.mean())
    single = slope * (found - found.mean())
    single = single - threshold(single, size)
    of_documents = document_means(found, document_of)
    texts = Texts(activations, np.zeros(len(activations)))
    weights, bias = linear_reading(ridge, membership, projection, texts, single)
    return Taught(
        membership=cut_like(of_documents, document_means(membership, document_of))[document_of],
        single=single,
        evidence=(found - float(of_documents.mean())) / spread(of_documents),
        readout=Readout(weights, bias, 0.0, 0.0, 0.0, 1.0),
    )


def cut_like(
    scores: Float[np.ndarray, "document"], told: Float[np.ndarray, "document"]
) -> Float[np.ndarray, "document"]:
    """Memberships in the order of `scores`, with the mean and the spread of those that were `told`.

    Two notions are compared by their soft Jaccard, which a difference in sharpness alone would lower. Constant scores
    leave everything at the mean.
    """
    size = float(np.clip(told.mean(), SMALLEST, 1 - SMALLEST))
    standard = in_units_of(scores, scores)

    def cut(log_sharpness: float) -> Float[np.ndarray, "document"]:
        sharp = np.exp(log_sharpness) * standard
        return sigmoid(sharp - threshold(sharp, size))

    low, high = SHARPNESS
    wanted = float((told**2).mean())
    if (cut(high) ** 2).mean() <= wanted:
        return cut(high)
    if (cut(low) ** 2).mean() >= wanted:
        return cut(low)
    return cut(brentq(lambda at: float((cut(at) ** 2).mean()) - wanted, low, high, xtol=1e-3))
