"""Re-clustering: membership over real and generated texts from activations, anchored to the pointer. Maths only.

Two witnesses are heard, the pointer and the activations. A linear classifier learns from the activations what the two
said together last time, always scoring a document with models that never saw it. What it cannot express simply (the
topic's mistakes about words) is lost on the way; what it can is kept (weak-to-strong generalisation, Burns et al. 2023,
arXiv 2312.09390). How far each witness is believed is estimated once, without a label, in `agent/trust.py`; evidence
speaks more softly in what is taught than in what is read, so that it does not talk itself into its own mistakes.

Add a method: a class beside those in `agent/evidence.py`, and its name in `ClusteringConfig.method`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from agent.concept import Readout
from agent.errors import BasinError
from agent.evidence import (
    NOT_FINITE,
    CrossFittedHalves,
    CrossFittedRidge,
    Evidence,
    OverlapMixture,
    Projection,
    calibration_slope,
    document_means,
    in_units_of,
    sigmoid,
    spread,
    threshold,
)
from agent.passages import document_folds
from agent.sizing import choose_size
from agent.trust import Trust, estimate_trust
from agent.types import StageConfig, seed_for

SMALLEST_LOADING = 0.3  # of a pointer whose noise is undone; below, undoing would be guessing


class SelfTrainingConfig(StageConfig):
    """How the first refiner, `agent/self_training.py`, weighs things; read by that method alone."""

    trust: float = Field(1.0, ge=0)
    """Weight of the pointer's log-odds in the posterior; 1 counts it as one independent witness."""
    steps: int = Field(3, ge=1)
    damping: float = Field(0.5, ge=0, lt=1)
    """Share of the old membership kept in a step."""


class ClusteringConfig(StageConfig):
    """How the boundary is redrawn."""

    method: Literal["ridge", "mixture", "self_training"] = "ridge"
    """Two witnesses with a linear or a mixture reading, or the first refiner."""
    self_training: SelfTrainingConfig = SelfTrainingConfig()
    evidence_weight: Literal["earned"] | Annotated[float, Field(ge=0)] = "earned"
    """Weight of the activations beside the pointer's 1, both standardised over documents; earned: see agent/trust.py."""
    echo: float = Field(0.6, ge=0)
    """Share of its earned weight with which evidence is heard in what the next classifier is taught. At 0 the pointer
    alone teaches; near 1 evidence confirms its own mistakes and the notion drifts. 0 is taken where most documents are of
    one passage, whose own noise cannot be told from what the document is about."""
    size: Literal["bounds", "mass", "presence"] | Annotated[float, Field(gt=0, lt=1)] = "bounds"
    """Share of the corpus the concept claims: between the pointer's mass and what the activations allow; the mass; the
    share of documents it speaks in; or a number. Of a seeded topic, whose mass bounds nothing, bounds means presence."""
    steps: int = Field(2, ge=1)
    """Times that evidence is taught again in a round."""
    components: int = Field(150, ge=2)
    """Principal components of the activations that the classifier sees."""
    penalty: float = Field(1.0, gt=0)
    """Ridge penalty in units of a feature's mean variance times the number of training passages."""
    folds: int = Field(6, ge=2)
    divisions: int = Field(4, ge=1)
    """Ways of dividing the documents into folds; scores are averaged over them."""
    shuffles: int = Field(49, ge=9)
    """Shuffled pointers that the true one must be told from."""
    surprise: float = Field(2.0, gt=0)
    """Deviations above the shuffled pointers' mean from which there is a concept; 2 lets two shuffles in a hundred pass."""
    breadth: float = Field(0.75, gt=0, le=1)
    """Share of the documents over which a pointer may be spread; function words are spread over more than nine tenths,
    topics over less than two thirds."""
    generated_share: float = Field(0.1, ge=0, le=0.5)
    """Share of the training weight that generated texts may have together; they never outweigh the real ones."""
    mixture_components: int = Field(16, ge=2)

    def of_pointer(self, seeded: bool) -> ClusteringConfig:
        """The same with the way to a size that a pointer of this kind allows."""
        return self.model_copy(update={"size": "presence"}) if seeded and self.size == "bounds" else self


@dataclass(frozen=True)
class Texts:
    """What re-clustering knows of some texts."""

    activations: Float[np.ndarray, "text layer width"]
    pointer_log_odds: Float[np.ndarray, "text"]

    def joined(self, others: Texts) -> Texts:
        """These texts, then the others."""
        return Texts(
            np.concatenate([self.activations, others.activations]),
            np.concatenate([self.pointer_log_odds, others.pointer_log_odds]),
        )


@dataclass(frozen=True)
class Anchor:
    """What the pointer says of the real documents and how far it is believed: found once, the same in every round."""

    pointer: Float[np.ndarray, "document"]
    """Mean log-odds of the pointer over each document's passages: how documents are read."""
    share: Float[np.ndarray, "document"]
    """Mean weight of the pointer over each document's passages, in [0, 1]: what is taught. Log-odds would dwell on how
    far outside a text is, which teaches nothing."""
    membership: Float[np.ndarray, "passage"]
    """What the pointer itself claims, documents pooled, with mean `size`."""
    trust: Trust
    size: float
    size_curve: tuple[tuple[float, float], ...]
    """The curve of upper bounds that the size was chosen under, see `choose_size`; empty where it was given."""
    projection: Projection
    features: Float[np.ndarray, "passage feature"]
    """Of the real passages."""


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


def anchor(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    claimed: float,
    config: ClusteringConfig,
    seed: int,
    *,
    projection: Projection | None = None,
) -> Anchor:
    """Estimate trust and size from the pointer and the real texts, before any round.

    Args:
        document_of: the document index of every real passage.
        claimed: the size that the pointer itself suggests; its mass where `config.size` is "bounds", else taken as it is.
        projection: of these activations, where it is at hand.

    Raises:
        BasinError: fewer than two documents, or activations that are not finite.
    """
    document_of = _numbered(document_of)
    projection = projection or Projection.fit(real.activations, config.components)
    features = _features(real, projection)
    divisions = _divisions(document_of, 0, config, seed)
    ridge = CrossFittedRidge(features, np.ones(len(features)), divisions, config.penalty)
    halves = [
        document_folds(document_of, 2, seed_for(seed, number, "halves"))
        for number in range(min(2, len(divisions)))
    ]
    pairs = CrossFittedHalves(features, divisions[: len(halves)], halves, config.penalty)
    pointer = document_means(real.pointer_log_odds, document_of)
    share = document_means(sigmoid(real.pointer_log_odds), document_of)
    shuffling = seed_for(seed, 0, "shuffles")
    trust = estimate_trust(share, pointer, document_of, ridge, pairs, config.shuffles, shuffling)
    size, curve = claimed, ()
    if config.size == "bounds":
        surest = np.argsort(-pointer, kind="stable")[: max(1, round(claimed * len(pointer)))]
        evidence = ridge.evidence(share[document_of])
        size, curve = choose_size(evidence, np.isin(document_of, surest), claimed)
    membership = document_membership(pointer[document_of], document_of, size)
    return Anchor(pointer, share, membership, trust, size, curve, projection, features)


def recluster(
    real: Texts,
    document_of: Int[np.ndarray, "passage"],
    evidence: Float[np.ndarray, "passage"] | None,
    generated: Texts | None,
    anchor: Anchor,
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
    document_of = _numbered(document_of)
    fit = fitting(real, generated, document_of, anchor, config, seed)
    count, pointers = len(document_of), fit.pointers
    method: Evidence = fit.ridge
    if config.method == "mixture":
        method = OverlapMixture(
            fit.ridge.features, fit.weights, fit.divisions, config.mixture_components, seed
        )
    read, taught = _weights(anchor.trust, document_of, config)
    pointer, share = standardised(anchor.pointer), standardised(anchor.share)
    heard = np.zeros(len(pointer)) if evidence is None else document_means(evidence, document_of)
    of_generated = np.zeros(len(pointers) - count)
    for _ in range(config.steps):
        scores = standardised(share + taught * heard)
        targets = _in_unit_range(np.concatenate([scores[document_of], of_generated]))
        found = method.evidence(targets)
        found = in_units_of(document_means(found[:count], document_of), found)
        heard = document_means(found[:count], document_of)
        alone = _Alone.fit(found[:count], real.pointer_log_odds, document_of, read)
        of_generated = alone.score(found[count:], pointers[count:])
    together = standardised(pointer + read * heard)
    slope = _slope(together, heard, anchor, document_of)
    pooled = slope * together[document_of]
    single = slope * alone.score(found, pointers)
    cut = threshold(single[:count], anchor.size)
    held_out = slope * alone.evidence * found[:count]
    weights, bias = linear_reading(fit.ridge, targets, anchor.projection, real, held_out)
    readout = Readout(weights, bias, slope * alone.pointer, alone.pointer_centre, cut, 1.0)
    return Reclustering(
        membership=sigmoid(pooled - threshold(pooled, anchor.size)),
        single=single[:count],
        pooled=pooled,
        evidence=found[:count],
        readout=readout,
        generated=sigmoid(single[count:] - cut),
    )


def no_concept(trust: Trust, breadth: float, config: ClusteringConfig) -> str | None:
    """The sentence that says that a pointer points at nothing, or None where it points at something.

    Args:
        breadth: share of the documents that the pointer is spread over; see `PointerReading.breadth`.
    """
    if trust.surprise < config.surprise:
        return (
            f"No concept here: the activations know this pointer hardly better than a shuffled one ({trust.surprise:.1f} "
            f"deviations, {config.surprise:.1f} asked); look at the topic (`basin topics`), or lower clustering.surprise."
        )
    if breadth > config.breadth:
        return (
            f"No concept here: the pointer is spread over {breadth:.0%} of the documents, as function words are, and singles "
            f"none out (at most {config.breadth:.0%}); take another topic (`basin topics`), or raise clustering.breadth."
        )
    return None


def document_mean(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Every passage's value replaced by the mean over its document."""
    document_of = _numbered(document_of)
    return document_means(values, document_of)[document_of]


def document_membership(
    pooled: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], size: float
) -> Float[np.ndarray, "passage"]:
    """Membership of whole documents, with mean `size` over the passages.

    Given what a document is about its passages are independent witnesses (mediation), so their log-odds add up:
    sigmoid(n_d (mean log-odds - b)), with b set by the size.
    """
    passages = np.bincount(document_of)[document_of].astype(np.float64)
    shift = threshold(pooled, size, passages)
    return sigmoid(passages * (pooled - shift))


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
    echo = config.echo if (np.bincount(document_of) > 1).mean() >= 0.5 else 0.0
    if config.evidence_weight == "earned":
        return trust.read_weight, echo * trust.taught_weight
    return config.evidence_weight, echo * config.evidence_weight


def _in_unit_range(scores: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """The scores as memberships: the lowest 0, the highest 1."""
    return (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)


def _slope(
    together: Float[np.ndarray, "document"],
    heard: Float[np.ndarray, "document"],
    anchor: Anchor,
    document_of: Int[np.ndarray, "passage"],
) -> float:
    """Nats per deviation of the documents' scores: confidence that evidence earns on the pointer's own claims.

    Evidence has not seen a document's own claim; the pointer has, so its part must not be counted. The claims are
    noisy: their attenuation, the square of the pointer's loading, is undone.
    """
    earned = calibration_slope(heard, document_means(anchor.membership, document_of))
    share = float(np.polyfit(heard, together, 1)[0]) if heard.std() > 0 else 0.0
    attenuation = max(anchor.trust.pointer_loading, SMALLEST_LOADING) ** 2
    return max(earned / share / attenuation if share > 0 else 0.0, 1e-3)


@dataclass(frozen=True)
class Fitting:
    """What every refiner fits its classifiers on: the real texts, then the generated ones."""

    ridge: CrossFittedRidge
    pointers: Float[np.ndarray, "text"]
    """Log-odds of the pointer."""
    weights: Float[np.ndarray, "text"]
    divisions: list[Int[np.ndarray, "text"]]


def fitting(
    real: Texts,
    generated: Texts | None,
    document_of: Int[np.ndarray, "passage"],
    anchor: Anchor,
    config: ClusteringConfig,
    seed: int,
) -> Fitting:
    """The anchor's features and those of generated texts, ready to be fitted; raises as `recluster`."""
    features, pointers = anchor.features, real.pointer_log_odds
    if generated is not None:
        features = np.concatenate([features, _features(generated, anchor.projection)])
        pointers = np.concatenate([pointers, generated.pointer_log_odds])
    extra = len(pointers) - len(document_of)
    weights = training_weights(len(document_of), extra, config.generated_share)
    divisions = _divisions(document_of, extra, config, seed)
    ridge = CrossFittedRidge(features, weights, divisions, config.penalty)
    return Fitting(ridge, pointers, weights, divisions)


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


def _features(texts: Texts, projection: Projection) -> Float[np.ndarray, "text feature"]:
    features = projection.apply(texts.activations)
    if not np.isfinite(features).all():
        raise BasinError(NOT_FINITE)
    return features


def _rest(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Mean of the document's other passages; of a document with one passage, zero."""
    passages, total = np.bincount(document_of), np.bincount(document_of, weights=values)
    return (total[document_of] - values) / np.maximum(passages[document_of] - 1, 1)


def _numbered(document_of: Int[np.ndarray, "passage"]) -> Int[np.ndarray, "passage"]:
    """Documents numbered from 0 without gaps."""
    return np.unique(document_of, return_inverse=True)[1]


def training_weights(real: int, generated: int, share: float) -> Float[np.ndarray, "text"]:
    weight = min(1.0, share / (1 - share) * real / generated) if generated else 0.0
    return np.concatenate([np.ones(real), np.full(generated, weight)])


def _divisions(
    document_of: Int[np.ndarray, "passage"], generated: int, config: ClusteringConfig, seed: int
) -> list[Int[np.ndarray, "text"]]:
    documents = len(np.unique(document_of))
    if documents < 2:
        raise BasinError("One document cannot be clustered; give a corpus of several documents.")
    folds = min(config.folds, documents)
    outside = np.full(generated, -1, dtype=np.int64)
    return [
        np.concatenate([document_folds(document_of, folds, seed_for(seed, number, "folds")), outside])
        for number in range(config.divisions)
    ]
