"""Shares and log-odds: the sigmoid, the threshold that gives a size, and Platt calibration."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from sklearn.linear_model import LogisticRegression

EVIDENCE_LIMIT = 50.0  # nats; beyond this a sigmoid is 0 or 1 in double precision
SHARE_FLOOR = 1e-6  # keeps log-odds finite


def sigmoid(values: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(values, -EVIDENCE_LIMIT, EVIDENCE_LIMIT)))
    return found


def log_odds(shares: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
    """log(q / (1 - q)) in nats, with q clipped to [1e-6, 1 - 1e-6]."""
    clipped = np.clip(shares, SHARE_FLOOR, 1 - SHARE_FLOOR)
    found: np.ndarray = np.log(clipped) - np.log1p(-clipped)
    return found


def threshold(
    log_odds: Float[np.ndarray, "text"], size: float, sharpness: Float[np.ndarray, "text"] | float = 1.0
) -> float:
    """The b with mean sigmoid(sharpness (log_odds - b)) = size; ValueError unless 0 < size < 1."""
    if not 0 < size < 1:
        raise ValueError(f"a size of {size} is not a share between 0 and 1")
    low, high = float(log_odds.min()) - EVIDENCE_LIMIT, float(log_odds.max()) + EVIDENCE_LIMIT
    return float(
        brentq(lambda b: float(sigmoid(sharpness * (log_odds - b)).mean()) - size, low, high, xtol=1e-10)
    )


def calibration_slope(
    evidence: Float[np.ndarray, "passage"], membership: Float[np.ndarray, "passage"]
) -> float:
    """Slope that turns held-out scores into log-odds of `membership` (Platt 1999), never negative.

    Fitted on the pointer's claims: the concept's own would make it overconfident.
    """
    deviation = float(np.concatenate([evidence, evidence]).std())
    if deviation == 0:
        return 0.0
    return max(0.0, float(soft_logistic(evidence / deviation, membership).coef_[0, 0])) / deviation


def soft_logistic(
    scores: Float[np.ndarray, "text"], membership: Float[np.ndarray, "text"]
) -> LogisticRegression:
    """Logistic regression on one score of labels in [0, 1], by texts that count on both sides."""
    weights = np.concatenate([membership, 1 - membership])
    # A weak ridge keeps the slope finite where the scores separate the labels perfectly.
    return LogisticRegression(C=10.0).fit(
        np.concatenate([scores, scores])[:, None], np.repeat([1, 0], len(scores)), sample_weight=weights
    )
