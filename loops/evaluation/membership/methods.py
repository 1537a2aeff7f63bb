"""Methods of `basin evaluate membership`: refiner, rivals, null pointers and ceiling.

All methods of one pointer get the same texts, the same pointer and the same claim. Only the ceiling
gets gold labels, and only those of seen passages.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import estimate_prior, no_concept
from agent.clustering.redraw import redraw, settle
from agent.clustering.texts import Texts
from agent.concept import MEMBER, Readout
from agent.judging.average_precision import Reading
from agent.judging.rivals import RIVALS, Reader, SeenTexts, linear_reader
from agent.membership.documents import document_mean, document_means, document_membership, numbered
from agent.membership.log_odds import log_odds
from agent.membership.similarity import soft_jaccard
from agent.pointer.topic_model import PointerReading
from agent.types import seed_for
from loops.evaluation.membership.suite import Pointed
from loops.evaluation.membership.summary import (
    CEILING,
    DOCUMENT_TOPIC,
    FIRST_REFINER,
    FUNCTION_WORDS,
    ON_EMBEDDINGS,
    OURS,
    SHUFFLED,
)
from loops.round.context import LARGEST_SIZE, SMALLEST_SIZE

NULLS = (SHUFFLED, FUNCTION_WORDS)
"""The refiner with pointers that point at no concept, which it should detect."""
OWN = {
    OURS: ("activations", ClusteringConfig()),
    ON_EMBEDDINGS: ("embeddings", ClusteringConfig()),
    FIRST_REFINER: ("activations", ClusteringConfig(method="self_training", size="presence")),
}
"""The refiners with their features and settings."""
METHODS = (*RIVALS, DOCUMENT_TOPIC, *OWN, *NULLS, CEILING)
MORE_ROUNDS = 20
"""Rounds after settling, to see whether the concept stays."""


@dataclass(frozen=True)
class Turn:
    """One pointer with its seen texts, on which everything is fitted, and its unseen texts."""

    pointed: Pointed
    function_words: PointerReading
    """A pointer at function words, for comparison."""
    views: Mapping[str, Float[np.ndarray, "passage layer width"]]
    """`activations`, and `embeddings` where a method needs them."""
    document_of: Int[np.ndarray, "passage"]
    seen: Bool[np.ndarray, "passage"]
    unseen: Bool[np.ndarray, "passage"]
    """Passages to measure: those outside `seen` whose label counts."""
    labelled: Bool[np.ndarray, "passage"]
    """Passages in `seen` whose label counts."""
    claimed: float
    """Share of the seen passages that the pointer itself claims."""
    seeded: bool
    """Whether the pointer's topic was seeded; see `PointerReading.claim`."""

    @property
    def pointer(self) -> Float[np.ndarray, "passage"]:
        """Log-odds of the pointer's weights, in nats."""
        return log_odds(self.pointed.reading.weights)

    @cached_property
    def seen_texts(self) -> SeenTexts:
        pointer = self.pointer[self.seen]
        documents = numbered(self.document_of[self.seen])
        claims = document_membership(document_mean(pointer, documents), documents, self.claimed)
        return SeenTexts(self.views["activations"][self.seen], pointer, documents, claims)

    def reading(
        self, seen: Float[np.ndarray, "seen"], unseen: Float[np.ndarray, "unseen"], size: float
    ) -> Reading:
        return Reading(seen, unseen, self.document_of[self.unseen], self.document_of[self.seen], size)


@dataclass(frozen=True)
class Settled:
    """How the refiner settled on the seen passages."""

    rounds: tuple[Reading, ...]
    """The reading of single passages after each round."""
    before: Bool[np.ndarray, "seen"]
    """Seen passages that the pointer claims."""
    after: Bool[np.ndarray, "seen"]
    """Seen passages that the settled concept claims."""


@dataclass(frozen=True)
class Outcome:
    """A method's reading of the unseen passages."""

    reading: Reading
    settled: Settled | None = None
    """Of the refiner only."""
    moved: float | None = None
    """1 - soft Jaccard of the settled membership with the one twenty rounds later, in [0, 1]."""


def claimed_size(
    pointed: Pointed,
    seen: Bool[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    seeded: bool,
) -> float:
    """The size that a pointer claims of the seen passages, within the bounds of a run."""
    claim = pointed.reading.of(seen).claim(seeded, numbered(document_of[seen]))
    return float(np.clip(claim, SMALLEST_SIZE, LARGEST_SIZE))


def outcome(method: str, turn: Turn, gold: Bool[np.ndarray, "passage"], seed: int) -> Outcome:
    """Fit a method of `METHODS` on the seen passages of a turn and read the unseen ones.

    Raises:
        BasinError: as `agent.clustering.prior.estimate_prior`.
    """
    if method in OWN:
        view, config = OWN[method]
        further = MORE_ROUNDS if method == OURS else 0
        own = turn.pointer, turn.pointed.reading
        return _refined(turn, view, config, own, seed=seed, further=further)
    if method in NULLS:
        null = shuffled_pointer(turn, seed), turn.pointed.reading
        if method == FUNCTION_WORDS:
            null = log_odds(turn.function_words.weights), turn.function_words
        return Outcome(_refined(turn, *OWN[OURS], null, seed=seed).reading)
    begin = time.perf_counter()
    if method == DOCUMENT_TOPIC:
        of_document = log_odds(turn.pointed.document_weights)[turn.document_of]
        reading = turn.reading(turn.pointer[turn.seen], turn.pointer[turn.unseen], turn.claimed)
        reading = replace(reading, pooled=(of_document[turn.seen], of_document[turn.unseen]))
    elif method == CEILING:
        activations = turn.views["activations"][turn.labelled]
        labels = gold[turn.labelled].astype(np.float64)
        reader = linear_reader(turn.seen_texts.projection, activations, labels)
        reading = _read(turn, reader, float(labels.mean()))
    else:
        reading = _read(turn, RIVALS[method](turn.seen_texts, seed), turn.claimed)
    return Outcome(replace(reading, seconds=time.perf_counter() - begin))


def shuffled_pointer(turn: Turn, seed: int) -> Float[np.ndarray, "passage"]:
    """The pointer's log-odds with documents permuted, seen and unseen ones separately.

    Documents exchange their passages' values, or their means where they differ in the number of
    passages.
    """
    shuffled = turn.pointer.copy()
    generator = np.random.default_rng(seed_for(seed, 0, "suite/shuffle"))
    for part in (turn.seen, ~turn.seen):
        documents, passages = numbered(turn.document_of[part]), np.flatnonzero(part)
        order = generator.permutation(int(documents.max()) + 1)
        counts = np.bincount(documents)
        if (counts == counts[0]).all():
            rows = passages[np.argsort(documents, kind="stable")].reshape(len(counts), -1)
            shuffled[rows] = turn.pointer[rows[order]]
        else:
            shuffled[part] = document_means(turn.pointer[part], documents)[order][documents]
    return shuffled


def pooled_log_odds(
    readout: Readout,
    read_weight: float,
    seen: tuple[Texts, Int[np.ndarray, "passage"]],
    unseen: tuple[Texts, Int[np.ndarray, "text"]],
) -> tuple[Float[np.ndarray, "passage"], Float[np.ndarray, "text"]]:
    """The refiner's reading of seen and unseen documents: a (mean evidence) + b (mean pointer).

    Both means are in standard deviations over the seen documents, and evidence has `read_weight`
    against the pointer's 1, as in `agent.clustering.two_witnesses.recluster`. Unseen texts do not
    enter a and b.

    Args:
        seen, unseen: texts and the document of each.
    """
    evidence = [document_mean(readout.evidence(texts.activations), where) for texts, where in (seen, unseen)]
    pointer = [document_mean(texts.pointer_log_odds, where) for texts, where in (seen, unseen)]
    first = np.unique(seen[1], return_index=True)[1]
    a = read_weight / max(float(evidence[0][first].std()), 1e-12)
    b = 1 / max(float(pointer[0][first].std()), 1e-12)
    return a * evidence[0] + b * pointer[0], a * evidence[1] + b * pointer[1]


def _read(turn: Turn, reader: Reader, size: float) -> Reading:
    activations = turn.views["activations"]
    seen, unseen = (reader(activations[part], turn.pointer[part]) for part in (turn.seen, turn.unseen))
    return turn.reading(seen, unseen, size)


def _refined(
    turn: Turn,
    view: str,
    config: ClusteringConfig,
    pointer: tuple[Float[np.ndarray, "passage"], PointerReading],
    *,
    seed: int,
    further: int = 0,
) -> Outcome:
    """Settle on the seen passages and read the unseen ones; `further` rounds give `moved`."""
    activations, documents = turn.views[view], turn.document_of[turn.seen]
    seen, unseen = (Texts(activations[part], pointer[0][part]) for part in (turn.seen, turn.unseen))
    config = config.of_pointer(turn.seeded)
    begin = time.perf_counter()
    projection = turn.seen_texts.projection if view == "activations" else None
    prior = estimate_prior(seen, documents, turn.claimed, config, seed, projection=projection)
    drawn = settle(seen, documents, prior, config, seed)
    settled = drawn[-1]
    rounds = tuple(
        turn.reading(
            each.single - each.readout.threshold,
            each.readout.log_odds(unseen.activations, unseen.pointer_log_odds),
            prior.size,
        )
        for each in drawn
    )
    pooled = None
    if config.method != "self_training":  # it reads a document as the mean of its passages
        of_unseen = unseen, turn.document_of[turn.unseen]
        pooled = pooled_log_odds(settled.readout, prior.trust.read_weight, (seen, documents), of_unseen)
    seconds = time.perf_counter() - begin
    last = settled
    for _ in range(further):
        last = redraw(seen, documents, last, None, prior, config=config, seed=seed)
    document_spread = pointer[1].of(turn.seen).document_spread(numbered(documents))
    nothing = no_concept(prior.trust, document_spread, config) is not None
    return Outcome(
        replace(rounds[-1], pooled=pooled, no_concept=nothing, seconds=seconds),
        Settled(rounds, prior.membership >= MEMBER, settled.membership >= MEMBER),
        1 - soft_jaccard(settled.membership, last.membership) if further else None,
    )
