"""Cluster intersection: another reader's cluster that overlaps most with a concept, unmapped.

Membership is a function of text, so a topic, a mixture component and a classifier are all
comparable. Soft memberships also overlap by chance, often by more than a third. So every overlap
comes with the result of the same search for shuffled memberships.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
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


@dataclass(frozen=True)
class Overlap:
    """Overlap of two memberships under mu; the masses are shares of mu."""

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

    @property
    def first_contained(self) -> float:
        """Share of the first inside the second, in [0, 1]; 0 of an empty one."""
        return self.shared / self.size_first if self.size_first else 0.0

    @property
    def second_contained(self) -> float:
        """Share of the second inside the first."""
        return self.shared / self.size_second if self.size_second else 0.0


def mu(real: int, generated: int) -> Float[np.ndarray, "text"]:
    """Half the mass on the real texts, then half on the generated ones; all of it on one kind where
    the other is missing.

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
    """Overlap of two memberships under `weights`, which sum to one."""
    return Overlap(
        shared=float(weights @ (first * second)),
        only_first=float(weights @ (first * (1 - second))),
        only_second=float(weights @ ((1 - first) * second)),
        jaccard=soft_jaccard(weights * first, weights * second),
    )


COMPONENTS, DIRECTIONS = 12, 16
"""Clusters of a mixture, and the principal components it is fitted on."""
GAIN = 0.01
"""Soft Jaccard that a further component must add to a union; less is probably chance."""


@dataclass(frozen=True)
class Candidate:
    """A cluster of the reader."""

    name: str
    kind: str
    """`component`, `union` or `classifier`."""
    membership: Float[np.ndarray, "text"]
    overlap: Overlap
    on_real: float
    """Soft Jaccard on the real texts alone."""
    on_generated: float | None
    """On the generated ones alone; None where there are none."""
    chance: float
    """Mean soft Jaccard of the best candidate for shuffled memberships."""
    deviation: float
    """Of the same, over the shuffles."""

    @property
    def z_score(self) -> float:
        """Deviations of the overlap above chance; 0 where shuffling changes nothing."""
        return (self.overlap.jaccard - self.chance) / self.deviation if self.deviation > 1e-9 else 0.0


Cluster = tuple[str, str, np.ndarray]
"""Name, kind and memberships."""


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
class _Search:
    """All of a search that does not depend on the target."""

    real: int
    documents: Int[np.ndarray, "text"]
    """Numbered from 0; every generated text is one."""
    units: Int[np.ndarray, "text"]
    """Texts held out together, numbered likewise; the real units are documents."""
    weights: Float[np.ndarray, "text"]
    components: Float[np.ndarray, "text component"]
    ridge: CrossFittedRidge
    half: Int[np.ndarray, "text"]
    """The half of the units that a text is in."""

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
        """The classifier, the union by halves, and the component that both halves chose."""
        joined, names, firsts = np.zeros(len(target)), [], []
        for part in (0, 1):
            chosen = _joined(target, self.components, np.where(self.half != part, self.weights, 0.0))
            firsts.append(chosen[0])
            names.append("+".join(map(str, sorted(chosen))))
            joined[self.half == part] = _sum(self.components, chosen)[self.half == part]
        found = [
            (" or ".join(dict.fromkeys(names)), "union", joined),
            ("classifier", "classifier", self.classified(target)),
        ]
        if firsts[0] != firsts[1]:
            return found
        return [(str(firsts[0]), "component", self.components[:, firsts[0]]), *found]

    def classified(self, target: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
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


def best_match(
    target: Float[np.ndarray, "text"], reader: Reader, *, config: ClusteringConfig, seed: int
) -> list[Candidate]:
    """Clusters of the reader by falling soft Jaccard with the target. (The largest bare
    intersection is everything.)

    Unions add components while that helps, chosen on one half of the documents and scored on the
    other. The classifier is cross-fitted. A single component counts only where both halves choose
    it; the other components come last, since the best of many is high by chance.

    Raises:
        BasinError: fewer than two documents, no text inside or none outside, or activations that
            are not finite.
    """
    if len(np.unique(reader.document_of)) < 2:
        raise BasinError("One document cannot be matched; give a corpus of several documents.")
    if not 0 < target.mean() < 1 or np.ptp(target) == 0:
        raise BasinError("The concept claims nothing, or everything, so no cluster can be like it.")
    search = _Search.of(reader, config, seed)
    generator, weights = np.random.default_rng(seed_for(seed, 0, "deals")), search.weights
    by_chance = []
    for _ in range(config.shuffles):
        dealt = target[search.deal(generator)]
        clusters = search.clusters(dealt)
        by_chance.append(max(soft_jaccard(weights * dealt, weights * each) for *_, each in clusters))
    clusters = search.clusters(target)
    names = [name for name, kind, _ in clusters if kind == "component"]
    columns = [(str(at), "component", column) for at, column in enumerate(search.components.T)]
    real, written = slice(0, search.real), slice(search.real, None)

    def falling(clusters: Sequence[Cluster]) -> list[Candidate]:
        candidates = [
            Candidate(
                name=name,
                kind=kind,
                membership=each,
                overlap=overlap(target, each, weights),
                on_real=soft_jaccard(target[real], each[real]),
                on_generated=soft_jaccard(target[written], each[written]) if len(target[written]) else None,
                chance=float(np.mean(by_chance)),
                deviation=float(np.std(by_chance)),
            )
            for name, kind, each in clusters
        ]
        return sorted(candidates, key=lambda each: -each.overlap.jaccard)

    return falling(clusters) + falling([each for each in columns if each[0] not in names])


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


def sides(
    target: Float[np.ndarray, "text"], found: Float[np.ndarray, "text"], inside: float
) -> dict[str, Bool[np.ndarray, "text"]]:
    """Texts that both contain, and those that only one of the two contains."""
    first, second = target >= inside, found >= inside
    return {"both": first & second, "only the concept": first & ~second, "only the match": ~first & second}
