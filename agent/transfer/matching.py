"""Cluster intersection: the cluster of another reader that shares most with a concept, with no map between the two. Maths only.

Membership is a function of text, so a topic, a mixture component and what a classifier says are all comparable.
Soft memberships overlap by chance, too, often by more than a third, so every overlap comes with what the
same search finds for memberships that were dealt out anew.
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
from agent.membership.documents import document_folds, document_means, numbered
from agent.membership.projection import Projection
from agent.membership.ridge import CrossFittedRidge
from agent.membership.similarity import soft_jaccard
from agent.types import seed_for


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

    @property
    def first_contained(self) -> float:
        """Share of the first that the second has, too, in [0, 1]; of an empty one, 0. Graded memberships stay below 1."""
        return self.shared / self.size_first if self.size_first else 0.0

    @property
    def second_contained(self) -> float:
        """Share of the second that the first has, too; likewise."""
        return self.shared / self.size_second if self.size_second else 0.0


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


COMPONENTS = 12
"""Clusters of a mixture, unless the reader brings its own."""
DIRECTIONS = 16
"""Principal components that a mixture is fitted on: in more, every document is a cluster of its own."""

GAIN = 0.01
"""Of soft Jaccard, for which a further component is joined: a crumb is more likely luck."""


@dataclass(frozen=True)
class Candidate:
    """A cluster of the other reader."""

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
    """Mean soft Jaccard of the best that the same search finds when what was told is dealt out anew among documents, real and
    generated apart; one number for all candidates, since the best of them is chosen."""
    deviation: float
    """Of the same, over the deals."""

    @property
    def z_score(self) -> float:
        """Deviations by which the overlap is above chance; 0 where dealing changes nothing."""
        return (self.overlap.jaccard - self.chance) / self.deviation if self.deviation > 1e-9 else 0.0


Cluster = tuple[str, str, np.ndarray]
"""Name, kind and memberships."""


@dataclass(frozen=True)
class _Search:
    """All of a search that does not depend on what is looked for, so that it can be done again for what was dealt anew."""

    real: int
    documents: Int[np.ndarray, "text"]
    """Numbered from 0; every generated text is one."""
    units: Int[np.ndarray, "text"]
    """What is held out together, numbered likewise; the real ones are documents."""
    weights: Float[np.ndarray, "text"]
    components: Float[np.ndarray, "text component"]
    ridge: CrossFittedRidge
    half: Int[np.ndarray, "text"]
    """Which half of the units a text is in."""

    def contenders(self, told: Float[np.ndarray, "text"]) -> list[Cluster]:
        """What may be the best: the classifier, the union that each half chose for the other, and the component of both."""
        joined, names, firsts = np.zeros(len(told)), [], []
        for part in (0, 1):
            chosen = _joined(told, self.components, np.where(self.half != part, self.weights, 0.0))
            firsts.append(chosen[0])
            names.append("+".join(map(str, sorted(chosen))))
            joined[self.half == part] = _sum(self.components, chosen)[self.half == part]
        found = [
            (" or ".join(dict.fromkeys(names)), "union", joined),
            ("classifier", "classifier", self.classified(told)),
        ]
        if firsts[0] != firsts[1]:
            return found
        return [(str(firsts[0]), "component", self.components[:, firsts[0]]), *found]

    def classified(self, told: Float[np.ndarray, "text"]) -> Float[np.ndarray, "text"]:
        """What a classifier that was told of other units says of every document, cut at the size of what was told.

        Real and generated texts are cut apart: the mean over a document's passages varies less than a text alone.
        """
        scores = document_means(self.ridge.evidence(told), self.documents)
        wanted, split = document_means(told, self.documents), int(self.documents[: self.real].max()) + 1
        parts = [part for part in (slice(0, split), slice(split, None)) if len(scores[part])]
        return np.concatenate([cut_like(scores[part], wanted[part]) for part in parts])[self.documents]

    def deal(self, generator: np.random.Generator) -> Int[np.ndarray, "text"]:
        """For every text one of another unit: units change places, the real and the generated apart.

        A unit that takes the place of a longer one begins again from its start.
        """
        order, count = np.argsort(self.units, kind="stable"), np.bincount(self.units)
        start, split = np.cumsum(count) - count, int(self.units[: self.real].max()) + 1
        within = np.empty(len(order), dtype=np.int64)
        within[order] = np.arange(len(order)) - start[self.units[order]]
        written = split + generator.permutation(len(count) - split)
        taken = np.concatenate([generator.permutation(split), written])[self.units]
        return order[start[taken] + within % count[taken]]


def best_match(
    told: Float[np.ndarray, "text"],
    activations: Float[np.ndarray, "text layer width"],
    document_of: Int[np.ndarray, "passage"],
    *,
    config: ClusteringConfig,
    seed: int,
    components: Float[np.ndarray, "text component"] | None = None,
    prompt_of: Int[np.ndarray, "generated"] | None = None,
) -> list[Candidate]:
    """Clusters of the reader by falling soft Jaccard with what was told. (The largest bare intersection is always everything.)

    Components are the reader's own, or those of a Gaussian mixture; unions join them while that helps, chosen on one half
    of the documents and kept as they do on the other; the classifier is told the memberships of other documents, and cut at
    the size of what was told. A single component is the best only where both halves of the documents choose it; the other
    components come last, since the best of many is high by luck.

    Args:
        told: memberships of the real passages, then of generated texts.
        activations: how the reader sees the same texts.
        document_of: of the real passages, which come first; every generated text counts as a document of its own.
        components: clusters that the reader has already, such as topics; in [0, 1].
        prompt_of: number of the opening that each generated text goes on from. Rounds write on the same openings and
            repeat each other, so the texts on one are held out together. None: no two are akin.

    Raises:
        BasinError: fewer than two documents, nothing is inside or outside, or activations that are not finite.
    """
    if len(np.unique(document_of)) < 2:
        raise BasinError("One document cannot be matched; give a corpus of several documents.")
    if not 0 < told.mean() < 1 or np.ptp(told) == 0:
        raise BasinError("The concept claims nothing, or everything, so no cluster can be like it.")
    search = _prepared(activations, document_of, config, seed, components, prompt_of)
    return _found(search, told, config.shuffles, seed_for(seed, 0, "deals"))


def _prepared(
    activations: Float[np.ndarray, "text layer width"],
    document_of: Int[np.ndarray, "passage"],
    config: ClusteringConfig,
    seed: int,
    components: Float[np.ndarray, "text component"] | None,
    prompt_of: Int[np.ndarray, "generated"] | None,
) -> _Search:
    real, documents = len(document_of), numbered(document_of)
    alone, after = np.arange(len(activations) - real), documents.max() + 1
    units = np.concatenate([documents, after + numbered(alone if prompt_of is None else prompt_of)])
    documents = np.concatenate([documents, after + alone])
    features = Projection.fit(activations, config.components).apply(activations)
    return _Search(
        real,
        documents,
        units,
        mu(real, len(alone)),
        _mixture(activations, documents, real, seed) if components is None else components,
        cross_fitted(features, units, config, seed),
        document_folds(units, 2, seed),
    )


def _found(search: _Search, told: Float[np.ndarray, "text"], deals: int, seed: int) -> list[Candidate]:
    """All candidates, held against the best of as many searches for memberships that were dealt out anew."""
    generator, weights = np.random.default_rng(seed), search.weights
    by_chance = []
    for _ in range(deals):
        dealt = told[search.deal(generator)]
        by_chance.append(
            max(soft_jaccard(weights * dealt, weights * each) for *_, each in search.contenders(dealt))
        )
    chance, deviation = float(np.mean(by_chance)), float(np.std(by_chance))
    contenders = search.contenders(told)
    names = [name for name, kind, _ in contenders if kind == "component"]
    columns = ((str(at), "component", column) for at, column in enumerate(search.components.T))
    lucky = [each for each in columns if each[0] not in names]
    real, written = slice(0, search.real), slice(search.real, None)

    def candidate(name: str, kind: str, membership: Float[np.ndarray, "text"]) -> Candidate:
        on_generated = soft_jaccard(told[written], membership[written]) if len(told[written]) else None
        on_real = soft_jaccard(told[real], membership[real])
        shared = overlap(told, membership, weights)
        return Candidate(name, kind, membership, shared, on_real, on_generated, chance, deviation)

    def falling(clusters: Sequence[Cluster]) -> list[Candidate]:
        return sorted((candidate(*each) for each in clusters), key=lambda each: -each.overlap.jaccard)

    return falling(contenders) + falling(lucky)


def _mixture(
    activations: Float[np.ndarray, "text layer width"],
    document_of: Int[np.ndarray, "text"],
    real: int,
    seed: int,
) -> Float[np.ndarray, "text component"]:
    """Responsibilities of a mixture of the real documents, read by every text's own document.

    Generated texts are brought to the centre and the spread of the real ones: else a component is one kind of text or the
    other, and says nothing of what they are about.
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
    return mixture.fit(own).predict_proba(np.concatenate([own, written]))[document_of]


def _joined(
    told: Float[np.ndarray, "text"],
    components: Float[np.ndarray, "text component"],
    weights: Float[np.ndarray, "text"],
) -> list[int]:
    """Components taken in greedily while the soft Jaccard rises by `GAIN`, in this order; at least one."""
    chosen: list[int] = []
    reached = -GAIN
    while True:
        rest = [at for at in range(components.shape[1]) if at not in chosen]
        with_each = {
            at: soft_jaccard(weights * told, weights * _sum(components, [*chosen, at])) for at in rest
        }
        best = max(with_each, key=with_each.__getitem__, default=None)
        if best is None or with_each[best] < reached + GAIN:
            return chosen
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
