"""`basin match`: the cluster of another reader that shares most with a run's concept, with no map between the two.

A reader is a language model, the sentence embedder, or a topic model of its own. All of them see the same texts: the run's
real passages, and what it wrote. Nothing here can read a gold label.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from agent.errors import BasinError
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.membership.documents import document_means, numbered
from agent.membership.log_odds import log_odds, sigmoid, threshold
from agent.membership.similarity import soft_jaccard
from agent.pointer.cache import fit_cached
from agent.pointer.topic_model import TopicsConfig
from agent.transfer.matching import Candidate, best_match
from agent.types import Document, PassageSet, seed_for
from loops.checkpoint.store import RunStore
from loops.records import Generated, RoundRecord
from loops.round.context import embedded

logger = logging.getLogger(__name__)

CONCEPT, TOPIC, EMBEDDER = "concept", "topic", "embedder"
LDA = re.compile(r"lda:(\d+)(?::(\d+))?")
WORDS = 6
"""Of a topic, to tell which it is."""


@dataclass(frozen=True)
class Texts:
    """What is compared on: the real passages, then what the run wrote."""

    passages: PassageSet
    generated: tuple[Generated, ...]
    """Steered and base passages of all rounds, each text once."""
    activations: Float[np.ndarray, "generated layer width"]
    """Of the generated ones in the run's own model."""

    @property
    def written(self) -> list[str]:
        return [each.whole for each in self.generated]

    @property
    def document_of(self) -> Int[np.ndarray, "passage"]:
        return self.passages.document_of

    @property
    def prompt_of(self) -> Int[np.ndarray, "generated"]:
        """Number of the opening that each written text goes on from: rounds write on the same ones and repeat each other."""
        number: dict[str, int] = {}
        return np.array(
            [number.setdefault(each.prompt, len(number)) for each in self.generated], dtype=np.int64
        )


@dataclass(frozen=True)
class Seen:
    """The same texts as a reader sees them."""

    activations: Float[np.ndarray, "text layer width"]
    components: Float[np.ndarray, "text component"] | None = None
    """Clusters that the reader has already."""
    words: tuple[str, ...] = ()
    """What they are about, where words tell."""


@dataclass(frozen=True)
class Matched:
    """What was found."""

    run: str
    round: int
    origin: str
    into: str
    texts: Texts
    told: Float[np.ndarray, "text"]
    candidates: list[Candidate]
    """The best first."""
    compared: dict[str, float] | None = None
    """Soft Jaccard on real passages with another run's concept, of the match and of what was told; also by documents."""
    words: tuple[str, ...] = ()
    """Of the reader's own clusters, see `Seen`."""
    nothing: str | None = None
    """The sentence that says that the best match shares no more than chance would, or None where it does."""


def match(
    store: RunStore, number: int | None, into: str, origin: str, compare: RunStore | None = None
) -> Matched:
    """Find a round's concept (the newest when `number` is None) in the reader `into`.

    Args:
        origin: `concept`, `topic` for what the run's pointer claims, or a reader in which the concept is found first.
        compare: another run over the same passages, whose newest concept the match is held against.

    Raises:
        BasinError: there is no such round or reader, or the other run has other passages.
    """
    record = store.load(_newest(store) if number is None else number)
    texts = _texts(store, record)
    seed = seed_for(store.config.seed, 0, "match")
    told = _pointed(store, texts) if origin == TOPIC else _notion(store, record, texts)

    def found_in(space: str, memberships: Float[np.ndarray, "text"]) -> tuple[list[Candidate], Seen]:
        seen = read(space, store, texts)
        candidates = best_match(
            memberships,
            seen.activations,
            texts.document_of,
            config=store.config.clustering,
            seed=seed,
            components=seen.components,
            prompt_of=texts.prompt_of,
        )
        return candidates, seen

    least = store.config.clustering.min_z_score
    if origin not in (CONCEPT, TOPIC):
        candidates, _ = found_in(origin, told)
        if sentence := _by_chance(candidates[0], origin, least):
            logger.info(f"{sentence} What is looked for in {into} is that cluster all the same.")
        told = candidates[0].membership
    candidates, seen = found_in(into, told)
    compared = None if compare is None else _compared(candidates[0], told, texts, compare)
    nothing = _by_chance(candidates[0], into, least)
    return Matched(
        store.name, record.round, origin, into, texts, told, candidates, compared, seen.words, nothing
    )


def _newest(store: RunStore) -> int:
    """The newest whole round; of a run without any, 0, which `load` refuses in a sentence."""
    return max(store.rounds(), default=0)


def _by_chance(best: Candidate, space: str, least: float) -> str | None:
    if best.z_score >= least:
        return None
    return (
        f"Nothing in {space} is like it: the best cluster's overlap is {best.overlap.jaccard:.3f}, and the best for dealt-out "
        f"memberships {best.chance:.3f} ({best.z_score:.1f} deviations less, {least:.1f} asked)."
    )


def read(space: str, store: RunStore, texts: Texts) -> Seen:
    """The texts in a space by name: `embedder`, `lda:COUNT` or `lda:COUNT:SEED`, else a language model.

    Raises `BasinError` for a topic model without a number of topics, for what is no reader, and as `LanguageModel.load`.
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
    """Another topic model, fitted on the run's passages put together by document; its topics are clusters already."""
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
    """What was written up to a round, each text once; what round 0 ruined on purpose is left out, and what was pruned."""
    kept: dict[str, tuple[Generated, np.ndarray]] = {}
    if gone := [number for number in store.pruned() if number < record.round]:
        logger.info(
            f"What rounds {', '.join(map(str, gone))} wrote was pruned: the match is of what the others wrote."
        )
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


def _notion(store: RunStore, record: RoundRecord, texts: Texts) -> Float[np.ndarray, "text"]:
    """The concept's membership of every text; what earlier rounds wrote is read anew by this round's readout."""
    concept = record.concept
    if concept.readout is None:
        return _pointed(store, texts)
    if not texts.generated:
        return concept.membership
    pointer = log_odds(store.load_pointer().weights(texts.written))
    return np.concatenate([concept.membership, concept.readout.membership(texts.activations, pointer)])


def _pointed(store: RunStore, texts: Texts) -> Float[np.ndarray, "text"]:
    """What the pointer claims: of real passages as round 0 has it, of written ones each alone, at the same threshold."""
    first, pointer = store.load(0).concept, store.load_pointer()
    if not texts.generated:
        return first.membership
    cut = threshold(log_odds(pointer.weights(texts.passages.texts)), float(first.membership.mean()))
    return np.concatenate([first.membership, sigmoid(log_odds(pointer.weights(texts.written)) - cut)])


def _compared(
    best: Candidate, told: Float[np.ndarray, "text"], texts: Texts, other: RunStore
) -> dict[str, float]:
    """On the real passages that both runs have, by passages and by documents."""
    theirs = {passage.id: at for at, passage in enumerate(other.load_passages().passages)}
    ours = [passage.id for passage in texts.passages.passages]
    if set(ours) != set(theirs):
        raise BasinError(
            f"{other.name} has other passages, so its concept cannot be compared; name a run of the same corpus."
        )
    concept = other.load(_newest(other)).concept.membership[[theirs[each] for each in ours]]
    document_of = numbered(texts.document_of)
    found = {}
    for name, memberships in (("match", best.membership), ("told", told)):
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
