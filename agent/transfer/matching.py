"""Cluster intersection: another reader's cluster that overlaps most with a concept, unmapped.

Membership is a function of text, so a topic, a mixture component and a classifier are all
comparable. Soft memberships also overlap by chance, often by more than a third. So every overlap
comes with the result of the same search for shuffled memberships.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.mixture import GaussianMixture

from agent.clustering.config import ClusteringConfig
from agent.clustering.probe import cut_like
from agent.clustering.texts import cross_fitted
from agent.errors import BasinError
from agent.membership.classifiers import CrossFittedRidge
from agent.membership.documents import document_folds, document_means, numbered
from agent.membership.projection import Projection
from agent.membership.similarity import soft_jaccard
from agent.types import seed_for

COMPONENTS, DIRECTIONS = 12, 16
"""Clusters of a mixture, and the principal components it is fitted on."""
GAIN = 0.01
"""Soft Jaccard that a further component must add to a union; less is probably chance."""


@dataclass(frozen=True)
class Reader:
    """The real passages, then generated texts, as a reader sees them."""

    activations: Float[np.ndarray, "text layer width"]
    document_of: Int[np.ndarray, "passage"]
    """Of the real passages; every generated text counts as a document of its own."""
    components: Float[np.ndarray, "text component"] | None = None
    """The reader's own clusters, such as topics, in [0, 1]; None: a Gaussian mixture's."""
    prompt_of: Int[np.ndarray, "generated"] | None = None
    """The opening of each generated text; texts on one opening are held out together."""


@dataclass(frozen=True)
class Cluster:
    """A cluster of the reader, held out: no text takes part in the choice of its own membership."""

    kind: str
    """`union` of components, or `classifier`."""
    components: tuple[int, ...]
    """Those of a union that either half of the documents chose."""
    membership: Float[np.ndarray, "text"]
    overlap: float
    """Soft Jaccard with the target under mu, sum mu min(m_A, m_B) / sum mu max(m_A, m_B)."""
    on_real: float
    """Soft Jaccard on the real texts alone."""
    on_generated: float | None
    """On the generated ones alone; None where there are none."""


@dataclass(frozen=True)
class Match:
    """The reader's clusters, the largest overlap first, and the same search by chance."""

    clusters: list[Cluster]
    chance: float
    """Mean overlap of the best cluster with shuffled memberships."""
    deviation: float
    """Of the same, over the shuffles."""

    @property
    def best(self) -> Cluster:
        return self.clusters[0]

    @property
    def z_score(self) -> float:
        """Deviations of the best overlap above chance; 0 where shuffling changes nothing."""
        return (self.best.overlap - self.chance) / self.deviation if self.deviation > 1e-9 else 0.0


def best_match(
    target: Float[np.ndarray, "text"], reader: Reader, *, config: ClusteringConfig, seed: int
) -> Match:
    """The reader's clusters by soft Jaccard with the target. (The largest bare intersection is
    everything.)

    Unions add components while that helps, chosen on one half of the documents and scored on the
    other. The classifier is cross-fitted.

    Raises:
        BasinError: fewer than two documents, no text inside or none outside, or activations that
            are not finite.
    """
    if len(np.unique(reader.document_of)) < 2:
        raise BasinError("One document cannot be matched; give a corpus of several documents.")
    if not 0 < target.mean() < 1 or np.ptp(target) == 0:
        raise BasinError("The concept claims nothing, or everything, so no cluster can be like it.")
    search = _Search.of(reader, config, seed)
    generator = np.random.default_rng(seed_for(seed, 0, "deals"))
    by_chance = [search.clusters(target[search.deal(generator)])[0].overlap for _ in range(config.shuffles)]
    return Match(search.clusters(target), float(np.mean(by_chance)), float(np.std(by_chance)))


@dataclass(frozen=True)
class _Search:
    """All that the search for a target reads of a reader."""

    real: int
    documents: Int[np.ndarray, "text"]
    """Every generated text is one."""
    units: Int[np.ndarray, "text"]
    """Held out and shuffled together: a document, or the texts on one opening."""
    weights: Float[np.ndarray, "text"]
    components: Float[np.ndarray, "text component"]
    ridge: CrossFittedRidge
    half: Int[np.ndarray, "text"]

    @classmethod
    def of(cls, reader: Reader, config: ClusteringConfig, seed: int) -> _Search:
        activations, documents = reader.activations, numbered(reader.document_of)
        real, after = len(documents), documents.max() + 1
        alone = np.arange(len(activations) - real)
        prompts = alone if reader.prompt_of is None else numbered(reader.prompt_of)
        units = np.concatenate([documents, after + prompts])
        documents = np.concatenate([documents, after + alone])
        features = Projection.fit(activations, config.components).apply(activations)
        components = reader.components
        if components is None:
            components = _mixture(activations, documents, real, seed)
        return cls(
            real=real,
            documents=documents,
            units=units,
            weights=mu(real, len(alone)),
            components=components,
            ridge=cross_fitted(features, units, config, seed),
            half=document_folds(units, 2, seed),
        )

    def clusters(self, target: Float[np.ndarray, "text"]) -> list[Cluster]:
        """The classifier, and the union of components by halves; the larger overlap first."""
        joined, chosen = np.zeros(len(target)), set[int]()
        for part in (0, 1):
            found = _joined(target, self.components, np.where(self.half != part, self.weights, 0.0))
            joined[self.half == part] = _sum(self.components, found)[self.half == part]
            chosen |= set(found)
        union = self._scored("union", tuple(sorted(chosen)), joined, target)
        classifier = self._scored("classifier", (), self._classified(target), target)
        return sorted([union, classifier], key=lambda each: -each.overlap)

    def _scored(
        self,
        kind: str,
        components: tuple[int, ...],
        membership: Float[np.ndarray, "text"],
        target: Float[np.ndarray, "text"],
    ) -> Cluster:
        overlap = soft_jaccard(self.weights * target, self.weights * membership)
        on_real = soft_jaccard(target[: self.real], membership[: self.real])
        written = target[self.real :], membership[self.real :]
        on_generated = soft_jaccard(*written) if len(written[0]) else None
        return Cluster(kind, components, membership, overlap, on_real, on_generated)

    def _classified(self, target: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """A classifier's held-out memberships of whole documents, cut at the size of the target.

        Real and generated texts are cut apart: a document's mean varies less than a single text.
        """
        scores, wanted = (
            document_means(each, self.documents) for each in (self.ridge.evidence(target), target)
        )
        split = int(self.documents[: self.real].max()) + 1
        parts = [part for part in (slice(0, split), slice(split, None)) if len(scores[part])]
        cut: np.ndarray = np.concatenate([cut_like(scores[part], wanted[part]) for part in parts])
        return np.asarray(cut[self.documents])

    def deal(self, generator: np.random.Generator) -> Int[np.ndarray, "text"]:
        """For every text one of another unit: units change places, real and generated ones apart.

        A unit that replaces a longer one repeats from its start.
        """
        order, count = np.argsort(self.units, kind="stable"), np.bincount(self.units)
        start, split = np.cumsum(count) - count, int(self.units[: self.real].max()) + 1
        within = np.empty(len(order), dtype=np.int64)
        within[order] = np.arange(len(order)) - start[self.units[order]]
        written = split + generator.permutation(len(count) - split)
        taken = np.concatenate([generator.permutation(split), written])[self.units]
        dealt: np.ndarray = order[start[taken] + within % count[taken]]
        return dealt


def mu(real: int, generated: int) -> Float[np.ndarray, "text"]:
    """Half the mass on the real texts, then half on the generated ones; all of it on the real ones
    where nothing was generated.
    """
    if not generated:
        return np.full(real, 1 / real)
    return np.concatenate([np.full(real, 0.5 / real), np.full(generated, 0.5 / generated)])


def _mixture(
    activations: Float[np.ndarray, "text layer width"],
    document_of: Int[np.ndarray, "text"],
    real: int,
    seed: int,
) -> Float[np.ndarray, "text component"]:
    """Responsibilities of a mixture of the real documents, by every text's document.

    Generated texts are standardised apart: else a component would separate the two kinds of text,
    not subjects.
    """
    features = Projection.fit(activations[:real], DIRECTIONS).apply(activations)
    columns = np.stack([document_means(column, document_of) for column in features.T], axis=1)
    split = int(document_of[:real].max()) + 1
    own, written = (
        (part - part.mean(axis=0)) / (part.std(axis=0) + 1e-9) if len(part) else part
        for part in (columns[:split], columns[split:])
    )
    count = max(2, min(COMPONENTS, len(own) // 8))
    mixture = GaussianMixture(
        count, covariance_type="diag", reg_covar=1e-3, n_init=3, random_state=seed % 2**32
    )
    shares: np.ndarray = mixture.fit(own).predict_proba(np.concatenate([own, written]))
    return np.asarray(shares[document_of])


def _joined(
    target: Float[np.ndarray, "text"],
    components: Float[np.ndarray, "text component"],
    weights: Float[np.ndarray, "text"],
) -> list[int]:
    """Components added greedily while the soft Jaccard rises by `GAIN`; at least one."""
    chosen: list[int] = []
    reached = -GAIN
    while rest := [at for at in range(components.shape[1]) if at not in chosen]:
        gains = [soft_jaccard(weights * target, weights * _sum(components, [*chosen, at])) for at in rest]
        best = int(np.argmax(gains))
        if gains[best] < reached + GAIN:
            break
        chosen, reached = [*chosen, rest[best]], gains[best]
    return chosen


def _sum(components: Float[np.ndarray, "text component"], chosen: Sequence[int]) -> Float[np.ndarray, "text"]:
    """Membership of the union: responsibilities add up."""
    return np.asarray(np.minimum(components[:, list(chosen)].sum(axis=1), 1.0))
