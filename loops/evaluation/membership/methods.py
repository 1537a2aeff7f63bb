"""Methods of `basin evaluate membership`: refiner, rivals, null pointers and ceiling.

All methods of one pointer get the same texts, the same two readers, whose scores are averaged, the
same pointer and the same claim. Only the ceiling gets gold labels, and only those of seen passages.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.prior import estimate_prior, no_concept
from agent.clustering.redraw import settle
from agent.clustering.texts import Texts
from agent.judging.average_precision import Reading
from agent.judging.rivals import RIVALS, SeenTexts, linear_reader
from agent.membership.documents import document_mean, document_means, document_membership, numbered
from agent.membership.log_odds import log_odds
from agent.membership.similarity import spread
from agent.types import seed_for
from loops.evaluation.membership.suite import Pointed
from loops.evaluation.tables import CEILING, OURS, SHUFFLED, TOPIC
from loops.round.context import LARGEST_SIZE, SMALLEST_SIZE

METHODS = (*RIVALS, OURS, SHUFFLED, CEILING)


@dataclass(frozen=True)
class Turn:
    """One pointer with its seen texts, on which everything is fitted, and its unseen texts."""

    pointed: Pointed
    pointer: Float[np.ndarray, "passage"]
    """The pointer's log-odds: the topic's, and similarity to the concept's words."""
    views: Mapping[str, Float[np.ndarray, "passage layer width"]]
    """`activations` and `embeddings`."""
    document_of: Int[np.ndarray, "passage"]
    seen: Bool[np.ndarray, "passage"]
    unseen: Bool[np.ndarray, "passage"]
    """Passages to measure: those outside `seen` whose label counts."""
    labelled: Bool[np.ndarray, "passage"]
    """Passages in `seen` whose label counts."""
    claimed: float
    """Share of the seen passages that the pointer itself claims."""

    @property
    def topic(self) -> Float[np.ndarray, "passage"]:
        """The topic's log-odds, in nats."""
        return log_odds(self.pointed.reading.weights)

    def texts(self, pointer: Float[np.ndarray, "passage"], part: Bool[np.ndarray, "passage"]) -> Texts:
        """Some of the texts, as the refiner reads them."""
        embedded = self.views["embeddings"][part][:, 0]
        return Texts(self.views["activations"][part], pointer[part], embeddings=embedded)

    @cached_property
    def seen_texts(self) -> list[SeenTexts]:
        """The seen texts as each reader records them."""
        pointer = self.pointer[self.seen]
        documents = numbered(self.document_of[self.seen])
        claims = document_membership(document_mean(pointer, documents), documents, self.claimed)
        return [SeenTexts(view[self.seen], pointer, documents, claims) for view in self.views.values()]


def claimed_size(
    pointed: Pointed, seen: Bool[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], seeded: bool
) -> float:
    """The size that a pointer claims of the seen passages, within the bounds of a run."""
    claim = pointed.reading.of(seen).claim(seeded, numbered(document_of[seen]))
    return float(np.clip(claim, SMALLEST_SIZE, LARGEST_SIZE))


def read_unseen(method: str, turn: Turn, gold: Bool[np.ndarray, "passage"], seed: int) -> Reading:
    """Fit a method of `METHODS` on the seen passages of a turn and read the unseen ones.

    Raises:
        BasinError: as `agent.clustering.prior.estimate_prior`.
    """
    if method == OURS:
        return _refined(turn, turn.pointer, seed, turn.topic[turn.seen])
    if method == SHUFFLED:
        return _refined(turn, shuffled_pointer(turn, seed), seed)
    begin, labels = time.perf_counter(), gold[turn.labelled].astype(np.float64)
    size = float(labels.mean()) if method == CEILING else turn.claimed
    pointer = turn.topic if method == TOPIC else turn.pointer
    seen, unseen = np.zeros(int(turn.seen.sum())), np.zeros(int(turn.unseen.sum()))
    for texts, view in zip(turn.seen_texts, turn.views.values(), strict=True):
        if method == CEILING:
            reader = linear_reader(texts.projection, view[turn.labelled], labels)
        else:
            reader = RIVALS[method](texts, seed)
        known, new = (reader(view[part], pointer[part]) for part in (turn.seen, turn.unseen))
        seen, unseen = seen + known / spread(known), unseen + new / spread(known)
    pooled = (
        document_mean(seen, turn.document_of[turn.seen]),
        document_mean(unseen, turn.document_of[turn.unseen]),
    )
    return Reading(seen, unseen, pooled, size, seconds=time.perf_counter() - begin)


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


def _refined(
    turn: Turn,
    pointer: Float[np.ndarray, "passage"],
    seed: int,
    topic: Float[np.ndarray, "seen"] | None = None,
) -> Reading:
    """Settle on the seen passages and read the unseen ones."""
    config, documents = ClusteringConfig(), turn.document_of[turn.seen]
    seen, unseen = (turn.texts(pointer, part) for part in (turn.seen, turn.unseen))
    begin = time.perf_counter()
    prior = estimate_prior(seen, documents, turn.claimed, config, seed, topic=topic)
    settled = settle(seen, documents, prior, config, seed)[-1]
    single, alone = (settled.readout.log_odds(each.activations, each.embeddings) for each in (seen, unseen))
    pooled = document_mean(single, documents), document_mean(alone, turn.document_of[turn.unseen])
    seconds = time.perf_counter() - begin
    document_spread = turn.pointed.reading.of(turn.seen).document_spread(numbered(documents))
    nothing = no_concept(prior.z_score, document_spread, config) is not None
    return Reading(single, alone, pooled, prior.size, no_concept=nothing, seconds=seconds)
