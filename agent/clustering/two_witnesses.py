"""Re-clustering from two witnesses, pointer and activations, weighed by trust.

A linear classifier learns from the activations what both witnesses said together last time. It
scores every document by models that did not see it. Errors of the topic that it cannot express
simply are lost on the way (weak-to-strong generalisation, Burns et al. 2023, arXiv 2312.09390).
`agent/clustering/trust.py` estimates both weights once, without labels. Evidence weighs less in
targets than in results, so that it does not confirm its own mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Refined
from agent.clustering.prior import Prior
from agent.clustering.texts import TrainingSet
from agent.membership.classifiers import CrossFittedRidge, OverlapMixture
from agent.membership.documents import document_means
from agent.membership.log_odds import calibration_slope
from agent.membership.projection import Projection
from agent.membership.similarity import spread, standardised

SMALLEST_LOADING = 0.3  # below this pointer loading, correcting for attenuation would be guessing


def weigh_witnesses(
    texts: TrainingSet,
    evidence: Float[np.ndarray, "passage"] | None,
    prior: Prior,
    config: ClusteringConfig,
    seed: int,
) -> Refined:
    """Learn from the pointer and the last round's `evidence`; None: the pointer alone."""
    document_of, count = texts.document_of, len(texts.document_of)
    method: CrossFittedRidge | OverlapMixture = texts.ridges[0]
    if config.method == "mixture":
        method = OverlapMixture(
            texts.ridges[0].features, texts.weights, texts.divisions, config.mixture_components, seed
        )
    mostly_single = (np.bincount(document_of) > 1).mean() < 0.5
    read_weight = prior.trust.read_weight
    target_weight = 0.0 if mostly_single else config.feedback_weight * prior.trust.target_weight
    pointer, share = standardised(prior.pointer), standardised(prior.share)
    of_documents = np.zeros(len(pointer)) if evidence is None else document_means(evidence, document_of)
    of_generated = np.zeros(len(texts.pointers) - count)
    for _ in range(config.steps):
        scores = standardised(share + target_weight * of_documents)
        of_generated[texts.degenerate] = scores.min()
        targets = _in_unit_range(np.concatenate([scores[document_of], of_generated]))
        found = method.evidence(targets)
        found = standardised(found, document_means(found[:count], document_of))
        of_documents = document_means(found[:count], document_of)
        alone = _Alone.fit(found[:count], texts.pointers[:count], document_of, read_weight)
        of_generated = alone.score(found[count:], texts.pointers[count:])
    together = standardised(pointer + read_weight * of_documents)
    slope = _slope(together, of_documents, prior, document_of)
    return Refined(
        targets=targets,
        held_out=slope * alone.evidence * found[:count],
        single=slope * alone.score(found, texts.pointers),
        pooled=slope * together[document_of],
        evidence=found[:count],
        pointer_weight=slope * alone.pointer,
        pointer_centre=alone.pointer_centre,
        recut=False,
    )


def cross_fitted_log_odds(
    activations: Float[np.ndarray, "passage layer width"],
    targets: Float[np.ndarray, "passage"],
    folds: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
) -> Float[np.ndarray, "passage"]:
    """Held-out log-odds of `targets` from the same classifier, fitted once, without a pointer."""
    features = Projection.fit(activations, config.components).apply(activations)
    evidence = CrossFittedRidge(features, np.ones(len(features)), [folds], config.penalty).evidence(targets)
    return np.asarray(calibration_slope(evidence, targets) * (evidence - evidence.mean()))


@dataclass(frozen=True)
class _Alone:
    """Least-squares weights that predict a document's score from one of its texts."""

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
        """Fitted to the document's other passages; to itself where most are alone."""
        of_documents = document_means(pointer_log_odds, document_of)
        centre, deviation = float(of_documents.mean()), spread(of_documents)
        total = spread(weight * document_means(found, document_of) + (of_documents - centre) / deviation)
        several = np.bincount(document_of)[document_of] > 1
        if several.mean() < 0.5:
            return cls(weight / total, 1 / deviation / total, centre)
        others = (
            weight * _other_passages(found, document_of)
            + (_other_passages(pointer_log_odds, document_of) - centre) / deviation
        )
        columns = np.stack([found, pointer_log_odds - centre, np.ones(len(found))], axis=1)
        fitted = np.linalg.lstsq(columns[several], others[several] / total, rcond=None)[0]
        return cls(max(0.0, float(fitted[0])), max(0.0, float(fitted[1])), centre)

    def score(
        self, found: Float[np.ndarray, "text"], pointer_log_odds: Float[np.ndarray, "text"]
    ) -> Float[np.ndarray, "text"]:
        return self.evidence * found + self.pointer * (pointer_log_odds - self.pointer_centre)


def _in_unit_range(scores: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """The scores as memberships: the lowest 0, the highest 1."""
    return np.asarray((scores - scores.min()) / max(float(np.ptp(scores)), 1e-12))


def _slope(
    together: Float[np.ndarray, "document"],
    evidence: Float[np.ndarray, "document"],
    prior: Prior,
    document_of: Int[np.ndarray, "passage"],
) -> float:
    """Nats per deviation of the documents' scores, calibrated on the pointer's own claims.

    Only the evidence's part counts, since it has not seen a document's claim and the pointer has.
    The claims are noisy: their attenuation, the square of the pointer's loading, is corrected for.
    """
    earned = calibration_slope(evidence, document_means(prior.membership, document_of))
    share = float(np.polyfit(evidence, together, 1)[0]) if evidence.std() > 0 else 0.0
    attenuation = max(prior.trust.pointer_loading, SMALLEST_LOADING) ** 2
    return max(earned / share / attenuation if share > 0 else 0.0, 1e-3)


def _other_passages(
    values: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"]
) -> Float[np.ndarray, "passage"]:
    """Mean over the document's other passages; zero where the document has one passage."""
    passages, total = np.bincount(document_of), np.bincount(document_of, weights=values)
    return np.asarray((total[document_of] - values) / np.maximum(passages[document_of] - 1, 1))
