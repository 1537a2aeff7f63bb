"""`basin match`: another reader's cluster that overlaps most with a run's concept, unmapped.

A reader is a language model, the sentence embedder, or another topic model. Every reader sees the
same texts: the run's real passages and its generated ones. No code here can read a gold label.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.concept import MEMBER
from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import log_odds, sigmoid, threshold
from agent.membership.similarity import soft_jaccard
from agent.pointer.lda import fit_cached
from agent.pointer.topic_model import TopicsConfig
from agent.transfer.matching import Candidate, Reader, best_match, sides
from agent.types import Document, PassageSet, seed_for
from loops.checkpoint.store import RunStore
from loops.records import Generated, RoundRecord
from loops.round.context import embedded

logger = logging.getLogger(__name__)

CONCEPT, TOPIC, EMBEDDER = "concept", "topic", "embedder"
LDA = re.compile(r"lda:(\d+)(?::(\d+))?")
WORDS = 6
"""Words shown for a topic."""
TYPICAL = 5
"""Passages shown for each side."""


@dataclass(frozen=True)
class Texts:
    """The real passages, then the generated texts."""

    passages: PassageSet
    generated: tuple[Generated, ...]
    """Steered and base passages of all rounds, each text once."""
    activations: Float[np.ndarray, "generated layer width"]
    """Of the generated texts in the run's own model."""

    @property
    def written(self) -> list[str]:
        return [each.whole for each in self.generated]

    @property
    def prompt_of(self) -> Int[np.ndarray, "generated"]:
        """The number of each generated text's opening, which rounds share."""
        number: dict[str, int] = {}
        return np.array(
            [number.setdefault(each.prompt, len(number)) for each in self.generated], dtype=np.int64
        )


@dataclass(frozen=True)
class Matched:
    """The result of a match."""

    run: str
    round: int
    origin: str
    into: str
    texts: Texts
    target: Float[np.ndarray, "text"]
    """The memberships that were looked for."""
    candidates: list[Candidate]
    """The best first."""
    compared: dict[str, float] | None = None
    """Soft Jaccard of another run's concept with the match and the target."""
    words: tuple[str, ...] = ()
    """Of the reader's topics."""
    nothing: str | None = None
    """Why the best candidate is no better than chance, as a sentence, or None where it is."""


def match(
    store: RunStore, number: int | None, into: str, origin: str, compare: RunStore | None = None
) -> Matched:
    """Find a round's concept, of the newest round when `number` is None, in the reader `into`.

    Args:
        origin: `concept`, `topic` for the pointer's own claims, or a reader in which the concept is
            found first.
        compare: another run over the same passages, whose newest concept is compared with the
            match.

    Raises:
        BasinError: there is no such round or reader, or the other run has other passages.
    """
    record = store.load(_newest(store) if number is None else number)
    texts, config = _texts(store, record), store.config.clustering
    seed = seed_for(store.config.seed, 0, "match")
    target = _of_pointer(store, texts) if origin == TOPIC else _of_concept(store, record, texts)

    def find(space: str) -> tuple[list[Candidate], Seen]:
        seen, document_of = read(space, store, texts), texts.passages.document_of
        reader = Reader(seen.activations, document_of, seen.components, texts.prompt_of)
        return best_match(target, reader, config=config, seed=seed), seen

    if origin not in (CONCEPT, TOPIC):
        candidates, _ = find(origin)
        if sentence := _by_chance(candidates[0], origin, config.min_z_score):
            logger.info(f"{sentence} The search in {into} uses that cluster all the same.")
        target = candidates[0].membership
    candidates, seen = find(into)
    return Matched(
        run=store.name,
        round=record.round,
        origin=origin,
        into=into,
        texts=texts,
        target=target,
        candidates=candidates,
        compared=None if compare is None else _compare(candidates[0], target, texts, compare),
        words=seen.words,
        nothing=_by_chance(candidates[0], into, config.min_z_score),
    )


def rows(found: Matched) -> list[dict[str, Any]]:
    """A row for every candidate, the best first; further single components come last."""
    masses = ("shared", "only_first", "only_second", "first_contained", "second_contained")
    return [
        {"cluster": each.name, "kind": each.kind, "soft_jaccard": each.overlap.jaccard}
        | {"soft_jaccard_real": each.on_real, "soft_jaccard_generated": each.on_generated}
        | {name: getattr(each.overlap, name) for name in masses}
        | {"size": each.overlap.size_second}
        | ({"words": found.words[int(each.name)]} if found.words and each.kind == "component" else {})
        for each in found.candidates
    ]


def two_sides(found: Matched) -> dict[str, list[str]]:
    """Beginnings of the most typical real passages of each side, one from a document."""
    passages = found.texts.passages
    real = slice(0, len(passages.passages))
    target, best = found.target[real], found.candidates[0].membership[real]
    typical = {"both": target + best, "only the concept": target - best, "only the match": best - target}
    shown = {}
    for name, part in sides(target, best, MEMBER).items():
        first: dict[int, int] = {}
        for at in np.argsort(-typical[name], kind="stable").tolist():
            if part[at]:
                first.setdefault(passages.passages[at].document, at)
        shown[name] = [_beginning(passages, at) for at in list(first.values())[:TYPICAL]]
    return shown


def _beginning(passages: PassageSet, at: int) -> str:
    passage = passages.passages[at]
    document = passages.documents[passage.document]
    return f"{document.title or document.id}: {' '.join(passage.text.split()[:14])} ..."


def _newest(store: RunStore) -> int:
    """The newest whole round; without any, 0, which `load` refuses in a sentence."""
    return max(store.rounds(), default=0)


def _by_chance(best: Candidate, space: str, least: float) -> str | None:
    if best.z_score >= least:
        return None
    return (
        f"Nothing in {space} is like it: the best cluster's overlap is {best.overlap.jaccard:.3f}, and for shuffled "
        f"memberships it is {best.chance:.3f} (z-score {best.z_score:.1f}, minimum {least:.1f})."
    )


@dataclass(frozen=True)
class Seen:
    """The texts as a reader sees them."""

    activations: Float[np.ndarray, "text layer width"]
    components: Float[np.ndarray, "text component"] | None = None
    """Clusters that the reader has already."""
    words: tuple[str, ...] = ()
    """Of its topics, where it has any."""


def read(space: str, store: RunStore, texts: Texts) -> Seen:
    """The texts in a space by name: `embedder`, `lda:COUNT`, `lda:COUNT:SEED`, or a language model.

    Raises `BasinError` for a name that is no reader, and as `LanguageModel.load`.
    """
    if space in (CONCEPT, TOPIC, ""):
        raise BasinError(
            f"{space!r} is no reader to look in; name a language model, {EMBEDDER}, or lda:COUNT such as lda:30."
        )
    if space == EMBEDDER:
        embed, real = embedded(texts.passages)
        return Seen(_joined(real[:, None], texts.written, lambda written: embed(written)[:, None]))
    if space.split(":")[0] == "lda":
        return _topics(space, store, texts)
    own = store.config.language_model
    language_model = LanguageModel.load(own if space == own.name else LanguageModelConfig(name=space))
    real = record_cached(language_model, texts.passages.texts)
    return Seen(_joined(real, texts.written, language_model.record))


def _topics(space: str, store: RunStore, texts: Texts) -> Seen:
    """Another topic model, fitted on the run's passages; its topics are clusters already."""
    named = LDA.fullmatch(space)
    if named is None or int(named[1]) < 2:
        raise BasinError(f"{space!r} is no topic model: name it lda:COUNT or lda:COUNT:SEED, such as lda:30.")
    bodies: list[list[str]] = [[] for _ in texts.passages.documents]
    for passage in texts.passages.passages:
        bodies[passage.document].append(passage.text)
    documents = [
        Document(each.id, "\n".join(body), each.title, each.author)
        for each, body in zip(texts.passages.documents, bodies, strict=True)
    ]
    plain = store.config.topics.model_dump(include={"chunk_words", "passes", "minimum_chunks", "language"})
    model = fit_cached(documents, TopicsConfig(count=int(named[1]), **plain), int(named[2] or 0))
    weights = model.weights(model.expected_words([*texts.passages.texts, *texts.written]))
    features = log_odds(weights.ravel()).reshape(weights.shape)
    words = tuple(" ".join(model.top_words(topic, WORDS)) for topic in range(model.count))
    return Seen(features[:, None].astype(np.float32), weights, words)


def _texts(store: RunStore, record: RoundRecord) -> Texts:
    """Texts generated up to a round, each once, without degenerate ones."""
    kept: dict[str, tuple[Generated, np.ndarray]] = {}
    for number in store.rounds():
        if number > record.round:
            break
        each = record if number == record.round else store.load(number)
        for at, sample in enumerate(each.generated):
            if sample.kind in ("steered", "base") and each.activations is not None:
                kept.setdefault(sample.whole, (sample, each.activations[at]))
    passages = store.load_passages()
    samples = tuple(sample for sample, _ in kept.values())
    shape = next((activations.shape for _, activations in kept.values()), (1, 1))
    activations = np.stack([each for _, each in kept.values()]) if kept else np.empty((0, *shape), np.float32)
    return Texts(passages, samples, activations)


def _of_concept(store: RunStore, record: RoundRecord, texts: Texts) -> Float[np.ndarray, "text"]:
    """Membership of every text; this round's readout scores the texts of all rounds."""
    concept = record.concept
    if concept.readout is None:
        return _of_pointer(store, texts)
    if not texts.generated:
        return concept.membership
    pointer = log_odds(store.load_pointer().weights(texts.written))
    return np.concatenate([concept.membership, concept.readout.membership(texts.activations, pointer)])


def _of_pointer(store: RunStore, texts: Texts) -> Float[np.ndarray, "text"]:
    """The pointer's claims at round 0's threshold; each generated text is read alone."""
    first, pointer = store.load(0).concept, store.load_pointer()
    if not texts.generated:
        return first.membership
    cut = threshold(log_odds(pointer.weights(texts.passages.texts)), float(first.membership.mean()))
    return np.concatenate([first.membership, sigmoid(log_odds(pointer.weights(texts.written)) - cut)])


def _compare(
    best: Candidate, target: Float[np.ndarray, "text"], texts: Texts, other: RunStore
) -> dict[str, float]:
    """Soft Jaccard with the other run's concept, by passages and by documents."""
    theirs = {passage.id: at for at, passage in enumerate(other.load_passages().passages)}
    ours = [passage.id for passage in texts.passages.passages]
    if set(ours) != set(theirs):
        raise BasinError(
            f"{other.name} has other passages, so its concept cannot be compared; name a run of the same corpus."
        )
    concept = other.load(_newest(other)).concept.membership[[theirs[each] for each in ours]]
    document_of = numbered(texts.passages.document_of)
    found = {}
    for name, memberships in (("match", best.membership), ("concept", target)):
        real = memberships[: len(ours)]
        found[name] = soft_jaccard(real, concept)
        found[f"{name}_by_documents"] = soft_jaccard(
            document_means(real, document_of), document_means(concept, document_of)
        )
    return found


def _joined(
    real: Float[np.ndarray, "passage layer width"],
    written: list[str],
    record: Callable[[list[str]], Float[np.ndarray, "generated layer width"]],
) -> Float[np.ndarray, "text layer width"]:
    return np.concatenate([real, record(written)]) if written else np.asarray(real)
