"""Cluster intersection: the cluster of another reader that shares most with a concept, with no map between the two. Maths only.

Two readers have different features and metrics, so overlap cannot be measured in a feature space. It is measured on texts:
mu is a distribution over them, half real and half generated, and |A ∩ B| = E_mu[m_A m_B]. Membership is a function of
text, so a topic, a mixture component and what a classifier says are all comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.mixture import GaussianMixture

from agent.anchoring import ClusteringConfig
from agent.errors import BasinError
from agent.evidence import Projection, document_means, numbered
from agent.passages import document_folds
from agent.taught import teach
from agent.tracking import soft_jaccard

COMPONENTS = 12
"""Clusters of a mixture, unless the reader brings its own."""
DIRECTIONS = 16
"""Principal components that a mixture is fitted on: in more, every document is a cluster of its own."""

GAIN = 0.01
"""Of soft Jaccard, for which a further component is joined: a crumb is more likely luck."""


@dataclass(frozen=True)
class Overlap:
    """Of two memberships under mu; the masses are shares of mu."""

    shared: float
    """E_mu[m_A m_B]."""
    only_first: float
    """E_mu[m_A (1 - m_B)]."""
    only_second: float
    """E_mu[(1 - m_A) m_B]."""
    jaccard: float
    """Soft Jaccard under mu, sum mu min(m_A, m_B) / sum mu max(m_A, m_B)."""

    @property
    def size_first(self) -> float:
        return self.shared + self.only_first

    @property
    def size_second(self) -> float:
        return self.shared + self.only_second


@dataclass(frozen=True)
class Candidate:
    """A cluster of the other reader."""

    name: str
    kind: str
    """`component`, `union` or `classifier`."""
    membership: Float[np.ndarray, "text"]
    overlap: Overlap


def mu(real: int, generated: int) -> Float[np.ndarray, "text"]:
    """Half the mass on the real texts, which come first, half on the generated ones; all on the real where there are no others.

    Raises `BasinError` where there is no text at all.
    """
    if real + generated == 0:
        raise BasinError("There are no texts that two clusters could share; give a corpus.")
    if not real or not generated:
        return np.full(real + generated, 1 / (real + generated))
    return np.concatenate([np.full(real, 0.5 / real), np.full(generated, 0.5 / generated)])


def overlap(
    first: Float[np.ndarray, "text"], second: Float[np.ndarray, "text"], weights: Float[np.ndarray, "text"]
) -> Overlap:
    """What two memberships share under `weights`, which sum to one, and what lies on each side."""
    return Overlap(
        shared=float(weights @ (first * second)),
        only_first=float(weights @ (first * (1 - second))),
        only_second=float(weights @ ((1 - first) * second)),
        jaccard=soft_jaccard(weights * first, weights * second),
    )


def best_match(
    told: Float[np.ndarray, "text"],
    activations: Float[np.ndarray, "text layer width"],
    document_of: Int[np.ndarray, "passage"],
    *,
    config: ClusteringConfig,
    seed: int,
    components: Float[np.ndarray, "text component"] | None = None,
) -> list[Candidate]:
    """Clusters of the reader by falling soft Jaccard with what was told. (The largest bare intersection is always everything.)

    Components are the reader's own, or those of a Gaussian mixture; unions join them while that helps, chosen on one half
    of the documents and kept as they do on the other; the classifier is told the memberships of other documents.

    Args:
        told: memberships of the real passages, then of generated texts.
        activations: how the reader sees the same texts.
        document_of: of the real passages, which come first; every generated text counts as a document of its own.
        components: clusters that the reader has already, such as topics; in [0, 1].

    Raises:
        BasinError: fewer than two documents, nothing is inside or outside, or activations that are not finite.
    """
    real = len(document_of)
    if len(np.unique(document_of)) < 2:
        raise BasinError("One document cannot be matched; give a corpus of several documents.")
    if not 0 < told.mean() < 1 or np.ptp(told) == 0:
        raise BasinError("The concept claims nothing, or everything, so no cluster can be like it.")
    documents = numbered(document_of)
    documents = np.concatenate([documents, documents.max() + 1 + np.arange(len(told) - real)])
    weights = mu(real, len(told) - real)
    if components is None:
        components = _mixture(activations, documents, seed)
    found = [
        Candidate(str(at), "component", column, overlap(told, column, weights))
        for at, column in enumerate(components.T)
    ]
    joined, name = _union(told, components, documents, weights, seed)
    found.append(Candidate(name, "union", joined, overlap(told, joined, weights)))
    taught = teach(activations, told, documents, config, seed).membership
    found.append(Candidate("classifier", "classifier", taught, overlap(told, taught, weights)))
    return sorted(found, key=lambda candidate: -candidate.overlap.jaccard)


def _mixture(
    activations: Float[np.ndarray, "text layer width"], document_of: Int[np.ndarray, "text"], seed: int
) -> Float[np.ndarray, "text component"]:
    """Responsibilities of a mixture of the documents, read by every text's own document."""
    features = Projection.fit(activations, DIRECTIONS).apply(activations)
    columns = np.stack([document_means(column, document_of) for column in features.T], axis=1)
    count = max(2, min(COMPONENTS, len(columns) // 8))
    mixture = GaussianMixture(
        count, covariance_type="diag", reg_covar=1e-3, n_init=3, random_state=seed % 2**32
    )
    return mixture.fit(columns).predict_proba(columns)[document_of]


def _union(
    told: Float[np.ndarray, "text"],
    components: Float[np.ndarray, "text component"],
    document_of: Int[np.ndarray, "text"],
    weights: Float[np.ndarray, "text"],
    seed: int,
) -> tuple[Float[np.ndarray, "text"], str]:
    """Components joined, on each half of the documents as the other half chose; and what they are called."""
    half = document_folds(document_of, 2, seed)
    joined, names = np.zeros(len(told)), []
    for part in (0, 1):
        chosen = _joined(told, components, np.where(half != part, weights, 0.0))
        names.append("+".join(map(str, chosen)))
        joined[half == part] = _sum(components, chosen)[half == part]
    return joined, " or ".join(dict.fromkeys(names))


def _joined(
    told: Float[np.ndarray, "text"],
    components: Float[np.ndarray, "text component"],
    weights: Float[np.ndarray, "text"],
) -> list[int]:
    """Components taken in greedily while the soft Jaccard rises by `GAIN`; at least one."""
    chosen: list[int] = []
    reached = -GAIN
    while True:
        rest = [at for at in range(components.shape[1]) if at not in chosen]
        with_each = {
            at: soft_jaccard(weights * told, weights * _sum(components, [*chosen, at])) for at in rest
        }
        best = max(with_each, key=with_each.__getitem__, default=None)
        if best is None or with_each[best] < reached + GAIN:
            return sorted(chosen)
        chosen, reached = [*chosen, best], with_each[best]


def _sum(components: Float[np.ndarray, "text component"], chosen: Sequence[int]) -> Float[np.ndarray, "text"]:
    """Membership of the union: responsibilities add up."""
    return np.minimum(components[:, list(chosen)].sum(axis=1), 1.0)


def sides(
    told: Float[np.ndarray, "text"], found: Float[np.ndarray, "text"], inside: float
) -> dict[str, Bool[np.ndarray, "text"]]:
    """Which texts both have, and which only one of the two."""
    first, second = told >= inside, found >= inside
    return {"both": first & second, "only the concept": first & ~second, "only the match": ~first & second}
