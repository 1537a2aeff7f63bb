"""The ending of a redrawing: from fitted targets to a readout, a threshold and memberships."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from agent.clustering.prior import Prior
from agent.clustering.texts import Texts, TrainingSet
from agent.concept import Readout
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.log_odds import sigmoid, threshold
from agent.membership.projection import Projection
from agent.membership.similarity import spread


@dataclass(frozen=True)
class Refined:
    """What the refiner hands to `finish`."""

    targets: Float[np.ndarray, "text"]
    """Memberships that the last classifier was fitted to."""
    single: Float[np.ndarray, "text"]
    """Log-odds of each text alone, by readers that did not see its document."""
    pooled: Float[np.ndarray, "passage"]
    """Log-odds of each passage's document."""
    evidence: Float[np.ndarray, "passage"]
    """Scores by the concept's own classifier, which learnt nothing from the pointer in this round."""
    membership: Float[np.ndarray, "passage"]
    """Documents pooled, with the concept's size."""


@dataclass(frozen=True)
class Reclustering:
    """Memberships after one redrawing."""

    membership: Float[np.ndarray, "passage"]
    """Documents pooled, in [0, 1]."""
    single: Float[np.ndarray, "passage"]
    """Log-odds of each passage alone, from models not fitted on its document."""
    pooled: Float[np.ndarray, "passage"]
    """Log-odds of each passage's document."""
    evidence: Float[np.ndarray, "passage"]
    """Held-out scores by the concept's own classifier."""
    readout: Readout
    generated: Float[np.ndarray, "text"]
    """Membership of the generated texts, each alone."""


def finish(refined: Refined, texts: TrainingSet, real: Texts, prior: Prior) -> Reclustering:
    """The readout, its threshold and all memberships, at the prior's size."""
    count, size = len(texts.document_of), prior.size
    single, cut = refined.single, threshold(refined.single[: len(texts.document_of)], size)
    readings = [
        linear_reading(ridge, refined.targets, single[:count], view.projection, recorded.shape[1:])
        for ridge, view, recorded in zip(texts.readers, prior.finer, real.recordings, strict=True)
    ]
    evidence = [
        Readout(weights, bias, 0.0).evidence(recorded)
        for recorded, (weights, bias) in zip(real.recordings, readings, strict=True)
    ]
    mean = np.mean(evidence, axis=0)
    wider = spread(single[:count]) / spread(mean)  # a mean of readers has less spread than each
    at = threshold(wider * mean, size)
    shift = at - threshold(wider * evidence[0], size)  # so that it holds for activations alone, too
    (weights, bias), *rest = readings
    readout = Readout(wider * weights, wider * bias + shift, at)
    for across, offset in rest:
        readout = replace(readout, embedding=wider * across[0], embedding_bias=wider * offset - shift)
    return Reclustering(
        membership=refined.membership,
        single=single[:count],
        pooled=refined.pooled,
        evidence=refined.evidence,
        readout=readout,
        generated=sigmoid(single[count:] - cut),
    )


def linear_reading(
    ridge: CrossFittedRidge,
    targets: Float[np.ndarray, "text"],
    held_out: Float[np.ndarray, "passage"],
    projection: Projection,
    shape: tuple[int, ...],
) -> tuple[Float[np.ndarray, "layer width"], float]:
    """Weights and bias of the averaged model, at the mean and spread of `held_out`."""
    weights, bias = ridge.average(targets)
    scores = ridge.features[: len(held_out)] @ weights + bias
    slope = float(held_out.std()) / spread(scores)
    across, shift = projection.pull_back(slope * weights, shape)
    return across, slope * (bias - float(scores.mean())) + float(held_out.mean()) + shift
