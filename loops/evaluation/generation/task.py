"""A generation task: one concept, its targets (topic, refined, gold) and its prompts.

Gold labels are read here for the ceilings and the judges.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from agent.clustering.config import ClusteringConfig
from agent.clustering.finish import Reclustering
from agent.clustering.prior import estimate_prior, no_concept
from agent.clustering.redraw import settle
from agent.clustering.texts import Texts
from agent.concept import MEMBER
from agent.errors import BasinError
from agent.judging.gold import SUITE_GOLD_FILE, every_gold_labels
from agent.judging.judges import RealPassages
from agent.judging.rivals import linear_reader
from agent.language_model.activation_cache import record_cached
from agent.language_model.load import LanguageModelConfig
from agent.language_model.model import LanguageModel
from agent.membership.documents import document_mean, document_membership, numbered
from agent.membership.log_odds import log_odds, threshold
from agent.membership.projection import Projection
from agent.pointer.topic_model import Pointer
from agent.types import Document, PassageSet, seed_for
from loops.evaluation.membership import suite
from loops.evaluation.membership.methods import claimed_size
from loops.evaluation.membership.suite import SuiteCorpus
from loops.round.particles import member_log_odds
from loops.round.writing import openings

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = LanguageModelConfig(name="smollm2-135m", layers=(6, 12, 18))
PLAIN = "Write a short story."
"""The one prompt that is not the opening of a passage."""
NEUTRAL = {"story", "essay", "novel"}
"""Words of a concept's name that do not reveal it."""
PLAIN_EVERY = 8
"""Every eighth prompt is the plain one."""
COMPONENTS = 150
FEWEST = 2
"""Documents inside and outside the concept that a judge needs."""


@dataclass(frozen=True)
class TargetConcept:
    """A concept that drives a generator."""

    membership: Float[np.ndarray, "passage"]
    """Of the seen passages, in [0, 1]."""
    log_odds: Callable[[Texts], Float[np.ndarray, "text"]]
    """Log-odds that new texts belong, each alone."""
    member_log_odds: float = 0.0
    """Mean log-odds of the real members, each by classifiers not fitted on its document."""


@dataclass(frozen=True)
class Task:
    """Everything that generators of one concept may use; the unseen passages are for the judges."""

    corpus: str
    concept: str
    called: str
    contrast: str
    seed: int
    seen: PassageSet
    activations: Float[np.ndarray, "passage layer width"]
    pointer: Pointer
    targets: dict[str, TargetConcept]
    """`topic`, `basin`, `gold`, `corpus`: all documents, and `random` ones, as many as `basin` claims."""
    warning: str | None
    """The refiner's reason to doubt that the pointer points at a concept."""
    language_model: LanguageModel
    prompts: Sequence[str]
    unseen: RealPassages
    documents: Sequence[Document]
    """Whole documents, to find copies in."""
    folder: Path

    @property
    def texts(self) -> list[str]:
        """Seen passages."""
        return self.seen.texts

    def read(self, texts: Sequence[str]) -> Texts:
        """Activations and pointer log-odds of texts, by the unchanged model."""
        return Texts(self.language_model.record(texts), log_odds(self.pointer.weights(texts)))


@dataclass(frozen=True)
class RecordedCorpus:
    """A corpus and its activations."""

    corpus: SuiteCorpus
    passages: PassageSet
    language_model: LanguageModel
    activations: Float[np.ndarray, "passage layer width"]


def read_corpus(corpus: SuiteCorpus) -> RecordedCorpus:
    """Read a corpus and record its passages, cached."""
    passages = suite.load_passages(corpus)
    logger.info(f"{corpus.name}: {passages.description}")
    language_model = LanguageModel.load(LANGUAGE_MODEL)
    return RecordedCorpus(corpus, passages, language_model, record_cached(language_model, passages.texts))


def make_task(recorded: RecordedCorpus, concept: str, *, samples: int, seed: int, folder: Path) -> Task:
    """Fit and refine the topic on seen documents, and train the gold classifier on the same.

    Raises:
        BasinError: the corpus has no gold labels for the concept, or too few documents of a kind.
    """
    corpus, passages = recorded.corpus, recorded.passages
    hidden, document_of = suite.parts(passages, seed) == 0, passages.document_of
    seen = ~hidden[document_of]
    gold = _gold_labels(corpus, passages, concept, hidden)
    pointed = suite.point(corpus, passages, hidden, seed, concept)
    seeded = corpus.pointer == "seed_words"
    claimed = claimed_size(pointed, seen, document_of, seeded)
    real = Texts(recorded.activations[seen], log_odds(pointed.reading.of(seen).weights))
    seen_documents, config = numbered(document_of[seen]), ClusteringConfig(embeddings=False)
    projection = Projection.fit(real.activations, COMPONENTS)
    prior = estimate_prior(real, seen_documents, claimed, config, seed)
    settled = settle(real, seen_documents, prior, config, seed)[-1]
    spread = pointed.reading.of(seen).document_spread(seen_documents)
    of_unseen = [passages.texts[at] for at in np.flatnonzero(~seen)]
    called = corpus.called[concept]
    words = (*corpus.concepts[concept], *called.split())
    topic = document_membership(document_mean(real.pointer_log_odds, seen_documents), seen_documents, claimed)
    return Task(
        corpus=corpus.name,
        concept=concept,
        called=called,
        contrast=corpus.contrast,
        seed=seed,
        seen=passages.only(~hidden),
        activations=real.activations,
        pointer=pointed.pointer,
        targets={
            "topic": _by_topic(real, topic, claimed),
            "basin": _by_readout(settled),
            "gold": _by_labels(real, projection, gold[seen].astype(np.float64)),
            "corpus": TargetConcept(np.ones(len(seen_documents)), _no_reader),
            "random": TargetConcept(random_documents(settled.membership, seen_documents, seed), _no_reader),
        },
        warning=no_concept(prior.z_score, spread, config),
        language_model=recorded.language_model,
        prompts=neutral_prompts(of_unseen, samples, words, seed_for(seed, 0, "prompts")),
        unseen=RealPassages(of_unseen, gold[~seen], document_of[~seen]),
        documents=passages.documents,
        folder=folder,
    )


def _by_topic(real: Texts, membership: Float[np.ndarray, "passage"], claimed: float) -> TargetConcept:
    cut = threshold(real.pointer_log_odds, claimed)
    return TargetConcept(membership, lambda texts: texts.pointer_log_odds - cut)


def random_documents(
    membership: Float[np.ndarray, "passage"], document_of: Int[np.ndarray, "passage"], seed: int
) -> Float[np.ndarray, "passage"]:
    """1 for the passages of random documents, as many as have a member."""
    count = len(np.unique(document_of[membership >= MEMBER]))
    drawn = np.random.default_rng(seed).permutation(int(document_of.max()) + 1)[:count]
    return np.isin(document_of, drawn).astype(np.float64)


def _no_reader(texts: Texts) -> Float[np.ndarray, "text"]:
    return np.zeros(len(texts.activations))


def _by_readout(settled: Reclustering) -> TargetConcept:
    readout = settled.readout
    return TargetConcept(
        settled.membership,
        lambda texts: readout.log_odds(texts.activations),
        member_log_odds(settled.single, settled.membership),
    )


def _by_labels(real: Texts, projection: Projection, labels: Float[np.ndarray, "passage"]) -> TargetConcept:
    classify = linear_reader(projection, real.activations, labels)
    cut = threshold(classify(real.activations, real.pointer_log_odds), float(labels.mean()))
    return TargetConcept(labels, lambda texts: classify(texts.activations, texts.pointer_log_odds) - cut)


def _gold_labels(
    corpus: SuiteCorpus, passages: PassageSet, concept: str, hidden: Bool[np.ndarray, "document"]
) -> Bool[np.ndarray, "passage"]:
    every = every_gold_labels(corpus.corpus, passages.documents, SUITE_GOLD_FILE)
    labels = next((each for each in every if each.concept == concept), None)
    if labels is None:
        raise BasinError(
            f"{corpus.name} has no gold labels for {concept!r} in {SUITE_GOLD_FILE}; add them there."
        )
    counts = [np.bincount(labels.labels[part], minlength=2).min() for part in (hidden, ~hidden)]
    if min(counts) < FEWEST:
        raise BasinError(
            f"{corpus.name}, {concept}: of the seen or of the unseen documents, fewer than {FEWEST} are of "
            "a kind, and a judge needs them; take another seed or a larger corpus."
        )
    return labels.of_passages(passages.document_of)


def neutral_prompts(
    texts: Sequence[str], count: int, words: Sequence[str], seed: int, length: int = 9
) -> list[str]:
    """Openings of `length` words that hold none of `words`, and the plain prompt once in `PLAIN_EVERY`.

    Raises `BasinError` where every opening names the concept.
    """
    neutral = [text for text in texts if not names(" ".join(text.split()[:length]), words)]
    if not neutral:
        raise BasinError(f"Every passage's opening names the concept ({words[0]}, ...); choose fewer words.")
    plain = count // PLAIN_EVERY
    found = iter(openings(neutral, count - plain, length, seed))
    return [f"{PLAIN}\n\n" if at % PLAIN_EVERY == PLAIN_EVERY - 1 else next(found) for at in range(count)]


def names(prompt: str, words: Sequence[str]) -> bool:
    """Whether a prompt contains a word of the concept or of its name, with any ending."""
    wanted = {word.casefold() for word in words} - NEUTRAL
    stems = tuple(word.removesuffix("y") for word in wanted if len(word.removesuffix("y")) > 2)  # married
    return any(word.startswith(stems) for word in re.findall(r"\w+", prompt.casefold()))
