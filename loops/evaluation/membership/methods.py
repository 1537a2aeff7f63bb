"""What every method of `basin evaluate membership` says of one pointer's seen and unseen passages.

All methods of one pointer get the same texts, the same pointer and the same first claim. Gold labels reach one of
them, the ceiling, and of it only the seen passages' labels.
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
"""The refiner with pointers that point at nothing, which it should say."""
OWN = {
    OURS: ("activations", ClusteringConfig()),
    ON_EMBEDDINGS: ("embeddings", ClusteringConfig()),
    FIRST_REFINER: ("activations", ClusteringConfig(method="self_training", size="presence")),
}
"""The refiners, with the view of the texts that each is given."""
METHODS = (*RIVALS, DOCUMENT_TOPIC, *OWN, *NULLS, CEILING)
MORE_ROUNDS = 20
"""Rounds after settling, to see whether the notion stays where it is."""


@dataclass(frozen=True)
class Turn:
    """One pointer, with the texts that everything is fitted on and those that nothing is fitted on."""

    pointed: Pointed
    function_words: PointerReading
    """What a pointer at function words would say of every passage."""
    views: Mapping[str, Float[np.ndarray, "passage layer width"]]
    """`activations`, and `embeddings` where a method wants them."""
    document_of: Int[np.ndarray, "passage"]
    seen: Bool[np.ndarray, "passage"]
    unseen: Bool[np.ndarray, "passage"]
    """What is measured: passages outside `seen` whose label counts."""
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
class Outcome:
    """What a method says; all but `reading` is of the refiner alone."""

    reading: Reading
    rounds: tuple[Reading, ...] = ()
    """The reading of single passages after every round of settling."""
    before: Bool[np.ndarray, "seen"] | None = None
    """Seen passages that the pointer claims."""
    after: Bool[np.ndarray, "seen"] | None = None
    """Seen passages that the settled concept claims."""
    moved: float | None = None
    """1 - soft Jaccard of the settled membership with the one twenty rounds later, in [0, 1]."""


def claimed_size(
    pointed: Pointed, seen: Bool[np.ndarray, "passage"], document_of: np.ndarray, seeded: bool
) -> float:
    """The size that a pointer suggests for the seen passages, within the bounds that a run has."""
    documents = numbered(document_of[seen])
    claim = pointed.reading.of(seen).claim(seeded, documents)
    return float(np.clip(claim, SMALLEST_SIZE, LARGEST_SIZE))


def outcome(method: str, turn: Turn, gold: Bool[np.ndarray, "passage"], seed: int) -> Outcome:
    """Fit a method of `METHODS` on the seen passages of a turn and read the unseen ones.

    Raises:
        BasinError: as `agent.clustering.two_witnesses.anchor`.
    """
    if method in OWN:
        view, config = OWN[method]
        further = MORE_ROUNDS if method == OURS else 0
        return _refined(turn, view, config, turn.pointer, turn.pointed.reading, seed, further=further)
    if method in NULLS:
        pointer, reading = shuffled_pointer(turn, seed), turn.pointed.reading
        if method == FUNCTION_WORDS:
            pointer, reading = log_odds(turn.function_words.weights), turn.function_words
        found = _refined(turn, *OWN[OURS], pointer, reading, seed)
        return Outcome(found.reading)
    begin = time.perf_counter()
    if method == DOCUMENT_TOPIC:
        of_document = log_odds(turn.pointed.document_weights)[turn.document_of]
        reading = turn.reading(turn.pointer[turn.seen], turn.pointer[turn.unseen], turn.claimed)
        reading = replace(reading, pooled=(of_document[turn.seen], of_document[turn.unseen]))
    elif method == CEILING:
        activations = turn.views["activations"][turn.labelled]
        labels = gold[turn.labelled].astype(np.float64)
        reading = _read(
            turn, linear_reader(turn.seen_texts.projection, activations, labels), float(labels.mean())
        )
    else:
        reading = _read(turn, RIVALS[method](turn.seen_texts, seed), turn.claimed)
    return Outcome(replace(reading, seconds=time.perf_counter() - begin))


def shuffled_pointer(turn: Turn, seed: int) -> Float[np.ndarray, "passage"]:
    """The pointer's log-odds given to other documents, of the seen ones and of the unseen ones apart.

    Documents exchange their passages' values; where documents differ in their number of passages, they exchange their
    means. The unseen ones are shuffled too, because a pointer that means nothing means nothing there either.
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
    seen: Texts,
    seen_document_of: np.ndarray,
    *,
    unseen: Texts,
    document_of: np.ndarray,
) -> tuple[Float[np.ndarray, "passage"], Float[np.ndarray, "text"]]:
    """What the refiner says of whole documents: a (mean evidence) + b (mean pointer), of seen and unseen passages.

    Both means are counted in deviations over the seen documents, and evidence weighs `read_weight` beside the
    pointer's 1, as in `agent.clustering.two_witnesses.recluster`. No unseen text enters a and b.
    """
    passages = [(seen, seen_document_of), (unseen, document_of)]
    evidence = [document_mean(readout.evidence(texts.activations), where) for texts, where in passages]
    pointer = [document_mean(texts.pointer_log_odds, where) for texts, where in passages]
    first = np.unique(seen_document_of, return_index=True)[1]
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
    pointer: Float[np.ndarray, "passage"],
    reading: PointerReading,
    seed: int,
    *,
    further: int = 0,
) -> Outcome:
    """Settle on the seen passages and read the unseen ones; then go `further`, for `moved`, off the clock.

    `reading` says how broad the pointer is; the pointer itself may be shuffled, which does not change that.
    """
    activations, documents = turn.views[view], turn.document_of[turn.seen]
    seen, unseen = (Texts(activations[part], pointer[part]) for part in (turn.seen, turn.unseen))
    config = config.of_pointer(turn.seeded)
    begin = time.perf_counter()
    projection = turn.seen_texts.projection if view == "activations" else None
    anchored = estimate_prior(seen, documents, turn.claimed, config, seed, projection=projection)
    drawn = settle(seen, documents, anchored, config, seed)
    settled = drawn[-1]
    rounds = tuple(
        turn.reading(
            each.single - each.readout.threshold,
            each.readout.log_odds(unseen.activations, unseen.pointer_log_odds),
            anchored.size,
        )
        for each in drawn
    )
    pooled = None
    if config.method != "self_training":  # which reads a document as the mean of its passages
        pooled = pooled_log_odds(
            settled.readout,
            anchored.trust.read_weight,
            seen,
            documents,
            unseen=unseen,
            document_of=turn.document_of[turn.unseen],
        )
    seconds = time.perf_counter() - begin
    last = settled
    for _ in range(further):
        last = redraw(seen, documents, last, None, anchored, config=config, seed=seed)
    document_spread = reading.of(turn.seen).document_spread(numbered(documents))
    return Outcome(
        replace(
            rounds[-1],
            pooled=pooled,
            no_concept=no_concept(anchored.trust, document_spread, config) is not None,
            seconds=seconds,
        ),
        rounds,
        anchored.membership >= MEMBER,
        settled.membership >= MEMBER,
        1 - soft_jaccard(settled.membership, last.membership) if further else None,
    )
