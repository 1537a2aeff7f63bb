"""`basin match`: another reader's cluster that overlaps most with a run's concept, unmapped.

A reader is a language model, the sentence embedder, or another topic model. Every reader sees the
same texts: the run's real passages and its generated ones. No code here can read a gold label.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from agent.concept import MEMBER
from agent.errors import BasinError, writing
from agent.hub.embedders import embed as embed_texts
from agent.language_model.activation_cache import record_cached
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.membership.log_odds import log_odds, sigmoid
from agent.membership.similarity import soft_jaccard
from agent.pointer.lda import fit_cached
from agent.pointer.topic_model import TopicModel, TopicsConfig
from agent.transfer.matching import Cluster, Reader, best_match
from agent.types import Document, PassageSet, seed_for
from loops.checkpoint.atomic import inner_folder, write_file
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.schema import sealed
from loops.checkpoint.store import RunStore
from loops.records import Generated, RoundRecord
from loops.round.context import embedded
from loops.transfer.stitch import file_name

logger = logging.getLogger(__name__)

MATCHES, EMBEDDER = "matches", "embedder"
LDA = re.compile(r"lda:(\d+)(?::(\d+))?")
WORDS = 6
"""Words shown for a topic."""
TYPICAL = 5
"""Passages shown for each side."""

Row = dict[str, Any]


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
        return np.unique([each.prompt for each in self.generated], return_inverse=True)[1]


def match(store: RunStore, number: int | None, into: str, compare: RunStore | None = None) -> Row:
    """Find a round's concept, of the newest round when `number` is None, in the reader `into`.

    Args:
        compare: another run over the same passages, whose newest concept is compared with the
            match.

    Returns:
        What `save_match` keeps: the clusters, the best first, with overlaps and words of topics; the
        same search by chance; typical passages of both sides.

    Raises:
        BasinError: there is no such round or reader, the round has no readout, or the other run has
            other passages.
    """
    record = store.load(_newest(store) if number is None else number)
    texts, config = _texts(store, record), store.config.clustering
    target, (reader, words) = _memberships(store, record, texts), read(into, store, texts)
    found = best_match(target, reader, config=config, seed=seed_for(store.config.seed, 0, "match"))
    nothing = None
    if found.z_score < config.min_z_score:
        nothing = (
            f"Nothing in {into} is like it: the best cluster's overlap is {found.best.overlap:.3f}, and for shuffled "
            f"memberships it is {found.chance:.3f} (z-score {found.z_score:.1f}, minimum {config.min_z_score:.1f})."
        )
    return {
        "run": store.name,
        "round": record.round,
        "in": into,
        "real": len(texts.passages.passages),
        "generated": len(texts.generated),
        "clusters": [
            {
                "kind": each.kind,
                "components": each.components,
                "soft_jaccard": each.overlap,
                "soft_jaccard_real": each.on_real,
                "soft_jaccard_generated": each.on_generated,
                "words": [words[at] for at in each.components] if words else [],
            }
            for each in found.clusters
        ],
        "by_chance": found.chance,
        "z_score": found.z_score,
        "nothing": nothing,
        "compared": None if compare is None else _compare(found.best, target, texts, compare),
        "sides": _sides(texts.passages, target, found.best.membership),
    }


def save_match(found: Row, store: RunStore) -> Path:
    """Write the result to `matches/`."""
    file = store.path / MATCHES / f"{file_name(found['in'])}_round_{found['round']:03d}.json"
    with writing(file, "make room there"):
        inner_folder(store.path, MATCHES)
        write_file(file, sealed(found))
    return file


def _sides(
    passages: PassageSet, target: Float[np.ndarray, "text"], best: Float[np.ndarray, "text"]
) -> dict[str, list[str]]:
    """Beginnings of the most typical real passages of each side, one from a document."""
    real = slice(0, len(passages.passages))
    target, best = target[real], best[real]
    ours, theirs = target >= MEMBER, best >= MEMBER
    sides = {
        "both": (ours & theirs, target + best),
        "only the concept": (ours & ~theirs, target - best),
        "only the match": (~ours & theirs, best - target),
    }
    shown: dict[str, list[str]] = {}
    for name, (part, typical) in sides.items():
        first: dict[str, str] = {}
        for at in np.argsort(-typical, kind="stable").tolist():
            passage = passages.passages[at]
            document = passages.documents[passage.document]
            if part[at]:
                beginning = " ".join(passage.text.split()[:14])
                first.setdefault(document.id, f"{document.title or document.id}: {beginning} ...")
        shown[name] = list(first.values())[:TYPICAL]
    return shown


def _newest(store: RunStore) -> int:
    """The newest whole round; without any, 0, which `load` refuses in a sentence."""
    return max(store.rounds(), default=0)


def read(space: str, store: RunStore, texts: Texts) -> tuple[Reader, list[str]]:
    """The texts in a space by name, and the words of its topics where it has any.

    A space is `embedder`, `lda:COUNT`, `lda:COUNT:SEED`, or a language model. Raises `BasinError`
    for a name that is no reader, and as `LanguageModel.load`.
    """
    components, words = None, list[str]()
    if space == EMBEDDER:
        embed, real = embedded(texts.passages)
        seen = _joined(real[:, None], texts.written, lambda written: embed(written)[:, None])
    elif space.split(":")[0] == "lda":
        model = _topics(space, store, texts)
        components = model.weights(model.expected_words([*texts.passages.texts, *texts.written]))
        seen = log_odds(components.ravel()).reshape(components.shape)[:, None].astype(np.float32)
        words = [" ".join(model.top_words(topic, WORDS)) for topic in range(model.count)]
    else:
        own = store.config.language_model
        reader = LanguageModel.load(own if space == own.name else LanguageModelConfig(name=space))
        if space == own.name:
            refuse_other_model(store, [], reader)
        seen = _joined(record_cached(reader, texts.passages.texts), texts.written, reader.record)
    return Reader(seen, texts.passages.document_of, components, texts.prompt_of), words


def _topics(space: str, store: RunStore, texts: Texts) -> TopicModel:
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
    return fit_cached(documents, TopicsConfig(count=int(named[1]), **plain), int(named[2] or 0))


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


def _memberships(store: RunStore, record: RoundRecord, texts: Texts) -> Float[np.ndarray, "text"]:
    """Membership of every text; this round's readout scores the texts of all rounds."""
    concept = record.concept
    if concept.readout is None:
        raise BasinError(f"Round {record.round} of {store.name} has no readout to match; name a later round.")
    if not texts.generated:
        return concept.membership
    embeddings = None if concept.readout.embedding is None else embed_texts(texts.written)
    read = concept.readout.log_odds(texts.activations, embeddings)
    return np.concatenate([concept.membership, sigmoid(read)])


def _compare(
    best: Cluster, target: Float[np.ndarray, "text"], texts: Texts, other: RunStore
) -> dict[str, float]:
    """Soft Jaccard with the other run's concept on the real passages."""
    theirs = {passage.id: at for at, passage in enumerate(other.load_passages().passages)}
    ours = [passage.id for passage in texts.passages.passages]
    if set(ours) != set(theirs):
        raise BasinError(
            f"{other.name} has other passages, so its concept cannot be compared; name a run of the same corpus."
        )
    concept = other.load(_newest(other)).concept.membership[[theirs[each] for each in ours]]
    real = slice(0, len(ours))
    return {
        "match": soft_jaccard(best.membership[real], concept),
        "concept": soft_jaccard(target[real], concept),
    }


def _joined(
    real: Float[np.ndarray, "passage layer width"],
    written: list[str],
    record: Callable[[list[str]], Float[np.ndarray, "generated layer width"]],
) -> Float[np.ndarray, "text layer width"]:
    return np.concatenate([real, record(written)]) if written else np.asarray(real)
