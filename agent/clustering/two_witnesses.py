"""Re-clustering: membership over real and generated texts from activations, anchored to the pointer. Maths only.

Two witnesses are heard, the pointer and the activations. A linear classifier learns from the activations what the two
said together last time, always scoring a document with models that never saw it. What it cannot express simply (the
topic's mistakes about words) is lost on the way; what it can is kept (weak-to-strong generalisation, Burns et al. 2023,
arXiv 2312.09390). How far each witness is believed is estimated once, without a label, in `agent/clustering/trust.py`; evidence
speaks more softly in what is taught than in what is read, so that it does not talk itself into its own mistakes.

Add a method: a class beside those in `agent/membership/ridge.py`, and its name in `agent/clustering/prior.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import Prior, Texts, divisions_of, features_of
from agent.clustering.trust import Trust
from agent.concept import Readout
from agent.membership.documents import document_means, mostly_single, numbered
from agent.membership.log_odds import calibration_slope, sigmoid, threshold
from agent.membership.mixture import OverlapMixture
from agent.membership.projection import Projection
from agent.membership.ridge import CrossFittedRidge, Evidence
from agent.membership.similarity import in_units_of, spread

SMALLEST_LOADING = 0.3  # of a pointer whose noise is undone; below, undoing would be guessing


@dataclass(frozen=True)
class Reclustering:
    """A redrawn boundary."""

    membership: Float[np.ndarray, "passage"]
    """Documents pooled, in [0, 1]."""
    single: Float[np.ndarray, "passage"]
    """Log-odds of each passage alone, from models not fitted on its document."""
    pooled: Float[np.ndarray, "passage"]
    """Log-odds of each passage's document."""
    evidence: Float[np.ndarray, "passage"]
    """What the activations alone say of each passage, standardised over documents; taught to the next round."""
    readout: Readout
    generated: Float[np.ndarray, "text"]
    """Membership of the generated texts, each alone."""


def recluster(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    evidence: Float[np.ndarray, "passage"] | None,
    generated: Texts | None,
    prior: Prior,
    *,
    config: ClusteringConfig,
    seed: int,
) -> Reclustering:
    """Redraw the boundary around what the pointer and the last round's evidence say together.

    Args:
        document_of: the document index of every real passage; documents are never split between folds.
        evidence: `Reclustering.evidence` of the last round, or None where the pointer alone has spoken.
        generated: further unlabelled texts, or None.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    document_of = numbered(document_of)
    fit = fitting(real, generated, document_of, prior, config, seed)
    count, pointers = len(document_of), fit.pointers
    method: Evidence = fit.ridge
    if config.method == "mixture":
        method = OverlapMixture(
            fit.ridge.features, fit.weights, fit.divisions, config.mixture_components, seed
        )
    read, taught = _weights(prior.trust, document_of, config)
    pointer, share = standardised(prior.pointer), standardised(prior.share)
    heard = np.zeros(len(pointer)) if evidence is None else document_means(evidence, document_of)
    of_generated = np.zeros(len(pointers) - count)
    for _ in range(config.steps):
        scores = standardised(share + taught * heard)
        of_generated[fit.degenerate] = scores.min()
        targets = _in_unit_range(np.concatenate([scores[document_of], of_generated]))
        found = method.evidence(targets)
        found = in_units_of(document_means(found[:count], document_of), found)
        heard = document_means(found[:count], document_of)
        alone = _Alone.fit(found[:count], real.pointer_log_odds, document_of, read)
        of_generated = alone.score(found[count:], pointers[count:])
    together = standardised(pointer + read * heard)
    slope = _slope(together, heard, prior, document_of)
    pooled = slope * together[document_of]
    single = slope * alone.score(found, pointers)
    cut = threshold(single[:count], prior.size)
    held_out = slope * alone.evidence * found[:count]
    weights, bias = linear_reading(fit.ridge, targets, prior.projection, real, held_out)
    readout = Readout(weights, bias, slope * alone.pointer, alone.pointer_centre, cut, 1.0)
    return Reclustering(
        membership=sigmoid(pooled - threshold(pooled, prior.size)),
        single=single[:count],
        pooled=pooled,
        evidence=found[:count],
        readout=readout,
        generated=sigmoid(single[count:] - cut),
    )


def cross_fitted_log_odds(
    activations: Float[np.ndarray, "passage layer width"],
    targets: Float[np.ndarray, "passage"],
    folds: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
) -> Float[np.ndarray, "passage"]:
    """Held-out log-odds of `targets` from the classifier that re-clustering uses, fitted once, without a pointer."""
    features = Projection.fit(activations, config.components).apply(activations)
    evidence = CrossFittedRidge(features, np.ones(len(features)), [folds], config.penalty).evidence(targets)
    return calibration_slope(evidence, targets) * (evidence - evidence.mean())


def standardised(values: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """Zero mean, unit deviation; a constant becomes zeros."""
    return in_units_of(values, values)


@dataclass(frozen=True)
class _Alone:
    """How a text alone is read: the least-squares guess, from its own evidence and pointer, of what its document says."""

    evidence: float
    pointer: float
    pointer_centre: float

    @classmethod
    def fit(
        cls,
        found: Float[np.ndarray, "passage"],
        pointer_log_odds: Float[np.ndarray, "passage"],
        document_of: Int[np.ndarray, "passage"],
        weight: float,
    ) -> _Alone:
        """The document speaks through its other passages; where most have none, as if through this one."""
        of_documents = document_means(pointer_log_odds, document_of)
        centre, deviation = float(of_documents.mean()), spread(of_documents)
        passages = np.bincount(document_of)
        total = spread(weight * document_means(found, document_of) + (of_documents - centre) / deviation)
        several = passages[document_of] > 1
        if several.mean() < 0.5:
            return cls(weight / total, 1 / deviation / total, centre)
        others = (
            weight * _rest(found, document_of) + (_rest(pointer_log_odds, document_of) - centre) / deviation
        )
        columns = np.stack([found, pointer_log_odds - centre, np.ones(len(found))], axis=1)
        fitted = np.linalg.lstsq(columns[several], others[several] / total, rcond=None)[0]
        return cls(max(0.0, float(fitted[0])), max(0.0, float(fitted[1])), centre)

    def score(
        self, found: Float[np.ndarray, "text"], pointer_log_odds: Float[np.ndarray, "text"]
    ) -> Float[np.ndarray, "text"]:
        return self.evidence * found + self.pointer * (pointer_log_odds - self.pointer_centre)


def _weights(
    trust: Trust, document_of: Int[np.ndarray, "passage"], config: ClusteringConfig
) -> tuple[float, float]:
    """Weights of evidence beside the pointer's 1: where texts are read, and in what is taught."""
    feedback_weight = 0.0 if mostly_single(document_of) else config.feedback_weight
    if config.evidence_weight == "earned":
        return trust.read_weight, feedback_weight * trust.taught_weight
    return config.evidence_weight, feedback_weight * config.evidence_weight


def _in_unit_range(scores: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """The scores as memberships: the lowest 0, the highest 1."""
    return (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)


def _slope(
    together: Float[np.ndarray, "document"],
    heard: Float[np.ndarray, "document"],
    prior: Prior,
    document_of: Int[np.ndarray, "passage"],
) -> float:
    """Nats per deviation of the documents' scores: confidence that evidence earns on the pointer's own claims.

    Evidence has not seen a document's own claim; the pointer has, so its part must not be counted. The claims are
    noisy: their attenuation, the square of the pointer's loading, is undone.
    """
    earned = calibration_slope(heard, document_means(prior.membership, document_of))
    share = float(np.polyfit(heard, together, 1)[0]) if heard.std() > 0 else 0.0
    attenuation = max(prior.trust.pointer_loading, SMALLEST_LOADING) ** 2
    return max(earned / share / attenuation if share > 0 else 0.0, 1e-3)


@dataclass(frozen=True)
class Fitting:
    """What every refiner fits its classifiers on: the real texts, then the generated ones."""

    ridge: CrossFittedRidge
    pointers: Float[np.ndarray, "text"]
    """Log-odds of the pointer."""
    weights: Float[np.ndarray, "text"]
    divisions: list[Int[np.ndarray, "text"]]
    degenerate: Bool[np.ndarray, "generated"]
    """Of the generated texts, those that are taught as outside."""


def fitting(
    real: Texts,
    generated: Texts | None,
    document_of: Int[np.ndarray, "passage"],
    prior: Prior,
    config: ClusteringConfig,
    seed: int,
) -> Fitting:
    """The prior's features and those of generated texts, ready to be fitted; raises as `recluster`."""
    features, pointers = prior.features, real.pointer_log_odds
    if generated is not None:
        features = np.concatenate([features, features_of(generated, prior.projection)])
        pointers = np.concatenate([pointers, generated.pointer_log_odds])
    extra = len(pointers) - len(document_of)
    weights = training_weights(len(document_of), extra, config.generated_share)
    divisions = divisions_of(document_of, extra, config, seed)
    ridge = CrossFittedRidge(features, weights, divisions, config.penalty)
    degenerate = np.zeros(0, dtype=bool) if generated is None else generated.known_degenerate
    return Fitting(ridge, pointers, weights, divisions, degenerate)


def linear_reading(
    ridge: CrossFittedRidge,
    targets: Float[np.ndarray, "text"],
    projection: Projection,
    real: Texts,
    held_out: Float[np.ndarray, "passage"],
) -> tuple[Float[np.ndarray, "layer width"], float]:
    """Weights and bias on activations: the averaged model, with the mean and the deviation of the honest `held_out`."""
    weights, bias = ridge.average(targets)
    scores = ridge.features[: len(held_out)] @ weights + bias
    slope = float(held_out.std()) / spread(scores)
    across, shift = projection.pull_back(slope * weights, real.activations.shape[1:])
    return across, slope * (bias - float(scores.mean())) + float(held_out.mean()) + shift


def _rest(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Mean of the document's other passages; of a document with one passage, zero."""
    passages, total = np.bincount(document_of), np.bincount(document_of, weights=values)
    return (total[document_of] - values) / np.maximum(passages[document_of] - 1, 1)


def training_weights(real: int, generated: int, share: float) -> Float[np.ndarray, "text"]:
    weight = min(1.0, share / (1 - share) * real / generated) if generated else 0.0
    return np.concatenate([np.ones(real), np.full(generated, weight)])
