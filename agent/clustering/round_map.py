"""One round as a map of the documents' memberships, without generated texts.

A classifier of each view learns the last membership and scores documents that it did not see. The
scores, plus the pointer's at the current trust, are cut at the concept's size. Once trust is zero
the map no longer depends on the start. Two views, activations and sentence embeddings, keep each
other from following what only one of them sees (co-training, Blum and Mitchell 1998): alone, each
flows past the concept to the corpus's largest contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.texts import cross_fitted
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import sigmoid, threshold
from agent.membership.similarity import soft_jaccard, standardised

STEP = 1e-3  # of a finite difference, in units of membership
POWER_STEPS = 40
STEPS = 2
"""Redrawings in a round. Generating text costs far more, so a round may go twice as far."""
MOST_IN_MATRIX = 2000  # documents up to which a map is a matrix for each view


@dataclass(frozen=True)
class Schedule:
    """Trust in the pointer by round."""

    falling: int
    """Rounds over which it would fall from 1 to 0."""
    least: float = 0.0
    """Where it stops; 1: it is constant."""

    def trust(self, round_number: int) -> float:
        """In [0, 1]; 1 in round 0."""
        return max(self.least, 1 - round_number / self.falling)

    @property
    def still_falls(self) -> int:
        """The last round with another trust than the one before."""
        return int(np.ceil((1 - self.least) * self.falling - 1e-9))


@dataclass(frozen=True)
class RoundMap:
    """The map, with all that no round changes."""

    ridges: tuple[CrossFittedRidge, ...]
    """One for every view, over the same texts."""
    document_of: Int[np.ndarray, "passage"]
    """Numbered from 0 without gaps; texts after the passages have no document."""
    size: float
    """Mean membership."""
    sharpness: float
    """Nats per standard deviation of the documents' scores."""
    operators: tuple[Float[np.ndarray, "document document"], ...] = ()
    """The ridges as matrices on memberships of documents, a hundred times as fast; none where there
    are other texts, or many documents."""

    @classmethod
    def of_views(
        cls,
        views: Sequence[Float[np.ndarray, "passage _feature"]],
        document_of: Int[np.ndarray, "passage"],
        size: float,
        config: ClusteringConfig,
        seed: int,
    ) -> RoundMap:
        """The map of real passages alone; `seed` divides the folds."""
        ridges = [cross_fitted(view, document_of, config, seed) for view in views]
        numbers = numbered(document_of)
        few = numbers.max() < MOST_IN_MATRIX
        operators = tuple(ridge.operator(numbers) for ridge in ridges) if few else ()
        return cls(tuple(ridges), numbers, size, config.sharpness, operators)

    def evidence(self, targets: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """Held-out scores summed over the views, each in deviations of the documents' scores."""
        found = [self._standardised(ridge.evidence(targets)) for ridge in self.ridges]
        return np.asarray(np.sum(found, axis=0))

    def membership(self, scores: Float[np.ndarray, "document"]) -> Float[np.ndarray, "document"]:
        """Memberships of mean `size`, from standardised scores."""
        sharp = self.sharpness * standardised(scores)
        return sigmoid(sharp - threshold(sharp, self.size))

    def scores(self, membership: Float[np.ndarray, "document"]) -> Float[np.ndarray, "document"]:
        """Held-out scores of every document for the membership, standardised."""
        if self.operators:
            return standardised(np.sum([standardised(each @ membership) for each in self.operators], axis=0))
        found = document_means(self.evidence(membership[self.document_of]), self.document_of)
        return standardised(found)

    def step(
        self,
        membership: Float[np.ndarray, "document"],
        pointer: Float[np.ndarray, "document"] | None = None,
        trust: float = 0.0,
    ) -> Float[np.ndarray, "document"]:
        """The membership after one redrawing."""
        scores = self.scores(membership)
        if pointer is not None and trust > 0:
            scores = scores + trust * standardised(pointer)
        return self.membership(scores)

    def flow(
        self, pointer: Float[np.ndarray, "document"], schedule: Schedule, rounds: int
    ) -> Float[np.ndarray, "round document"]:
        """Memberships from round 0, the pointer's own, to round `rounds`."""
        path = [self.membership(pointer)]
        for number in range(1, rounds + 1):
            now = path[-1]
            for _ in range(STEPS):
                now = self.step(now, pointer, schedule.trust(number))
            path.append(now)
        return np.stack(path)

    def eigenvalue(
        self,
        membership: Float[np.ndarray, "document"],
        seed: int,
        pointer: Float[np.ndarray, "document"] | None = None,
        trust: float = 0.0,
    ) -> float:
        """Modulus of the map's leading eigenvalue at a fixed point; below 1 it contracts.

        By power iteration on central differences. The growth is averaged over the last half of the
        steps, since a complex pair rotates.
        """
        direction = np.random.default_rng(seed).normal(size=len(membership))
        direction /= np.linalg.norm(direction)
        growth = []
        for _ in range(POWER_STEPS):
            ahead, behind = (
                self.step(membership + sign * STEP * direction, pointer, trust) for sign in (1, -1)
            )
            image = (ahead - behind) / (2 * STEP)
            length = float(np.linalg.norm(image))
            if length < 1e-12:
                return 0.0
            growth.append(np.log(length))
            direction = image / length
        return float(np.exp(np.mean(growth[POWER_STEPS // 2 :])))

    def kicked(
        self,
        membership: Float[np.ndarray, "document"],
        share: float,
        rounds: int,
        seed: int,
        *,
        pointer: Float[np.ndarray, "document"] | None = None,
        trust: float = 0.0,
    ) -> Float[np.ndarray, "document"]:
        """The limit from memberships shuffled among a share of the documents."""
        return self.settled(shuffled(membership, share, seed), rounds, pointer, trust)

    def settled(
        self,
        membership: Float[np.ndarray, "document"],
        rounds: int,
        pointer: Float[np.ndarray, "document"] | None = None,
        trust: float = 0.0,
        still: float = 1e-4,
    ) -> Float[np.ndarray, "document"]:
        """The limit, after at most so many rounds, beside a pointer of this trust."""
        for _ in range(rounds):
            last, membership = membership, self.step(membership, pointer, trust)
            if 1 - soft_jaccard(last, membership) < still:
                break
        return membership

    def _standardised(self, found: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        return standardised(found, document_means(found[: len(self.document_of)], self.document_of))


def shuffled(values: Float[np.ndarray, "document"], share: float, seed: int) -> Float[np.ndarray, "document"]:
    """The values, shuffled among a share of the documents."""
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(values))[: round(share * len(values))]
    dealt = values.copy()
    dealt[chosen] = values[generator.permutation(chosen)]
    return dealt


def contraction(drift: Sequence[float] | Float[np.ndarray, "step"], floor: float = 1e-6) -> float | None:
    """Median of drift_t / drift_{t-1} above `floor`; None without two such drifts in a row."""
    ratios = [
        after / before for before, after in zip(drift, drift[1:], strict=False) if min(before, after) > floor
    ]
    return float(np.median(ratios)) if ratios else None
