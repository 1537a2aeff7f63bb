"""Decisions of judges, and their calibration to probabilities.

Decisions on real passages come from a classifier that was not trained on their document. A logistic
curve through those decisions and the gold labels (Platt 1999) turns decisions into probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from agent.judging.average_precision import calibration_error


@dataclass(frozen=True)
class RealPassages:
    """Labelled passages that train the judges and calibrate their scores."""

    texts: Sequence[str]
    gold: Bool[np.ndarray, "passage"]
    document_of: Int[np.ndarray, "passage"]

    def only(self, kept: Bool[np.ndarray, "passage"]) -> RealPassages:
        texts = [self.texts[index] for index in np.flatnonzero(kept).tolist()]
        return RealPassages(texts, self.gold[kept], self.document_of[kept])


@dataclass(frozen=True)
class Decisions:
    """A judge's log-odds of belonging, up to shift and scale."""

    real: Float[np.ndarray, "passage"]
    """By a classifier that was not trained on the passage's document."""
    generated: Mapping[str, Float[np.ndarray, "fold _text"]]
    """By each fold's classifier, by generator."""


Judge = Callable[[RealPassages, Mapping[str, Sequence[str]], Int[np.ndarray, "passage"]], Decisions]
"""From real passages, generated texts and the fold of every real passage to decisions."""


LEAST_AUC = 0.6
"""On real passages of unseen documents. Below it, members and others score alike."""


@dataclass(frozen=True)
class Judgement:
    """One judge's probabilities of belonging."""

    auc: float
    """On real passages of unseen documents; 0.5 is chance."""
    members: float
    """Mean score of real members of unseen documents."""
    non_members: float
    generated: Mapping[str, Float[np.ndarray, "_text"]]
    """By generator; NaN for a text that is too short to judge."""
    real: Float[np.ndarray, "passage"]
    """Of each real passage, by a judge that did not see its document; NaN where it is too short."""
    calibration_error: float | None = None
    """Expected calibration error on unseen documents, in [0, 1]; None if not calibrated."""
    brier: float | None = None
    """Mean squared error of the same probabilities (Brier 1950); share * (1 - share) is chance."""

    @property
    def tells(self) -> bool:
        """Whether AUC is at least `LEAST_AUC` and members score above the others."""
        return self.auc >= LEAST_AUC and self.members > self.non_members


def cross_decisions(
    real: RealPassages,
    generated: Mapping[str, Sequence[str]],
    folds: Int[np.ndarray, "passage"],
    features: Callable[[Sequence[str]], Any],
    model: Any,
) -> Decisions:
    """Decisions on real passages by other folds' classifiers, on generated texts by all of them."""
    held_out = np.empty(len(real.texts))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in generated}
    for fold in np.unique(folds):
        seen, unseen = real.only(folds != fold), folds == fold
        fitted = clone(model).fit(features(seen.texts), seen.gold)
        held_out[unseen] = fitted.decision_function(features(real.only(unseen).texts))
        for name, texts in generated.items():
            parts[name].append(fitted.decision_function(features(texts)) if texts else np.empty(0))
    return Decisions(held_out, {name: np.stack(each) for name, each in parts.items()})


def uncalibrated(decisions: Decisions, gold: Bool[np.ndarray, "passage"]) -> Judgement:
    """Decisions used as log-odds without calibration."""
    return _judgement(
        gold,
        decisions.real,
        expit(decisions.real),
        {name: expit(each).mean(0) for name, each in decisions.generated.items()},
    )


def calibrated(
    decisions: Decisions, gold: Bool[np.ndarray, "passage"], folds: Int[np.ndarray, "passage"]
) -> Judgement:
    """Probabilities of belonging at even odds, as if members were as common as the others.

    The curve is fitted at the corpus's share of members and then moved to even odds (Saerens et al.
    2002), because a generator's base rate is unknown. A fold's passages are scored by a curve
    fitted on the other folds. Calibration error and Brier score are theirs, at the corpus's share
    of members.
    """
    share = np.full(len(gold), np.nan)
    log_odds = np.empty(len(gold))
    for fold in np.unique(folds):
        seen, unseen = folds != fold, folds == fold
        log_odds[unseen] = _curve(decisions.real[seen], gold[seen])(decisions.real[unseen])
        share[unseen] = gold[seen].mean()
    curve, prior = _curve(decisions.real, gold), logit(gold.mean())
    return _judgement(
        gold,
        decisions.real,
        expit(log_odds - logit(share)),
        {name: expit(curve(each) - prior).mean(0) for name, each in decisions.generated.items()},
        calibration_error=calibration_error(gold, expit(log_odds)),
        brier=float(np.mean((expit(log_odds) - gold) ** 2)),
    )


def cut(text: str, words: int, skip: int = 0) -> str | None:
    """`words` words of a text after its first `skip`, or None where there are fewer."""
    kept = text.split()[skip : skip + words]
    return " ".join(kept) if len(kept) == words else None


def _curve(
    decisions: Float[np.ndarray, "passage"], gold: Bool[np.ndarray, "passage"]
) -> Callable[[np.ndarray], np.ndarray]:
    """Platt's curve from decisions to log-odds of gold; constant for a judge that ranks backwards."""
    # Standardised, because the penalty would shrink the slope of small decisions.
    middle, spread = decisions.mean(), decisions.std() or 1.0
    model = LogisticRegression(C=100.0).fit((decisions[:, None] - middle) / spread, gold)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        slope, intercept = 0.0, float(logit(gold.mean()))
    return lambda values: slope * (values - middle) / spread + intercept


def _judgement(
    gold: Bool[np.ndarray, "passage"],
    decisions: Float[np.ndarray, "passage"],
    real: Float[np.ndarray, "passage"],
    generated: Mapping[str, Float[np.ndarray, "_text"]],
    **calibration: float,
) -> Judgement:
    return Judgement(
        auc=float(roc_auc_score(gold, decisions)),
        members=float(real[gold].mean()),
        non_members=float(real[~gold].mean()),
        generated=generated,
        real=real,
        **calibration,
    )
