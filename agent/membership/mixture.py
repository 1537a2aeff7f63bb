"""Memberships from a Gaussian mixture, whose components count by their overlap with the concept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.mixture import GaussianMixture

from agent.membership.log_odds import log_odds


class OverlapMixture:
    """A Gaussian mixture whose components belong to the concept by their overlap with it.

    A component's share is E_mu[m r_k] / E_mu[r_k], measured on texts outside the fold.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "text feature"],
        weights: Float[np.ndarray, "text"],
        divisions: Sequence[Int[np.ndarray, "text"]],
        components: int,
        seed: int,
    ) -> None:
        self.weights, self.divisions = weights, divisions
        leading = features[:, : min(32, features.shape[1])]
        self.responsibilities = []
        for number in range(len(divisions)):
            mixture = GaussianMixture(
                min(components, max(2, len(leading) // 8)),
                covariance_type="diag",
                reg_covar=1e-2,
                random_state=seed + number,
            )
            self.responsibilities.append(mixture.fit(leading).predict_proba(leading))

    def evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """Log-odds of the mixture's membership, averaged over its fits."""
        total = np.zeros(len(targets))
        for folds, shares in zip(self.divisions, self.responsibilities, strict=True):
            membership = np.zeros(len(targets))
            for fold in [-1, *range(int(folds.max()) + 1)]:
                weight = np.where(folds == fold, 0.0, self.weights) if fold >= 0 else self.weights
                overlap = shares.T @ (weight * targets) / np.maximum(shares.T @ weight, 1e-12)
                membership[folds == fold] = shares[folds == fold] @ overlap
            total += log_odds(membership)
        return total / len(self.divisions)
