"""One concept to be written from, and the notions of it that drive the generators: the topic's, the refined one, gold's.

A side branch like the membership evaluation: gold labels are read here, to make the ceilings and for the judges.
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
from agent.clustering.prior import Prior, estimate_prior, no_concept
from agent.clustering.redraw import redraw, settle
from agent.clustering.texts import Texts
from agent.errors import BasinError
from agent.judging.decisions import RealPassages
from agent.judging.gold import SUITE_GOLD_FILE, every_gold_labels
from agent.judging.rivals import linear_reader
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.membership.documents import document_mean, document_membership, numbered
from agent.membership.log_odds import log_odds, threshold
from agent.membership.projection import Projection
from agent.pointer.topic_model import Pointer
from agent.types import Document, PassageSet, seed_for
from loops.evaluation.generation.suite import WrittenConcept, WrittenCorpus
from loops.evaluation.membership import suite
from loops.evaluation.membership.methods import claimed_size
from loops.evaluation.membership.suite import Pointed
from loops.round.writing import openings

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = LanguageModelConfig(name="smollm2-135m", layers=(6, 12, 18))
PLAIN = "Write a short story."
"""The one prompt that is no passage's opening."""
NEUTRAL = {"story", "essay", "novel"}
"""Words of a concept's name that name nothing."""
PLAIN_EVERY = 8
"""One prompt in so many is the plain one."""
COMPONENTS = 150
FEWEST = 2
"""Documents inside and outside the concept that a judge needs, whose folds have to hold both."""
Place = Callable[[Texts], Float[np.ndarray, "text"]]


@dataclass(frozen=True)
class Notion:
    """What a generator is driven by."""

    membership: Float[np.ndarray, "passage"]
    """Of the seen passages, in [0, 1]."""
    place: Place
    """Log-odds that new texts belong, each alone."""


@dataclass(frozen=True)
class Refined:
    """How the refined notion came about, for redrawing it with further texts."""

    real: Texts
    """Seen passages."""
    document_of: Int[np.ndarray, "passage"]
    prior: Prior
    settled: Reclustering
    config: ClusteringConfig
    seed: int

    def knowing(self, generated: Texts) -> Reclustering:
        """One more redrawing, with generated texts."""
        return redraw(
            self.real,
            self.document_of,
            self.settled,
            generated,
            self.prior,
            config=self.config,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Task:
    """Everything that generators of one concept may use; the unseen passages are the judges'."""

    corpus: str
    concept: str
    called: str
    contrast: str
    words: tuple[str, ...]
    seed: int
    texts: Sequence[str]
    """Seen passages."""
    activations: Float[np.ndarray, "passage layer width"]
    pointer: Pointer
    notions: dict[str, Notion]
    """`topic`, `basin` and `gold`."""
    refined: Refined
    warning: str | None
    """What a run would say if it thought that the pointer points at nothing."""
    language_model: LanguageModel
    prompts: Sequence[str]
    practice_prompts: Sequence[str]
    """Openings of seen passages, for what is written to learn from."""
    unseen: RealPassages
    documents: Sequence[Document]
    """Whole documents, for finding what was copied."""
    folder: Path

    def read(self, texts: Sequence[str]) -> Texts:
        """Texts as a notion reads them: an unsteered, unadapted pass."""
        return Texts(self.language_model.record(texts), log_odds(self.pointer.weights(texts)))


def read_corpus(corpus: WrittenCorpus) -> tuple[PassageSet, LanguageModel, np.ndarray]:
    """Passages, the language model, and its activations over them (cached)."""
    passages = suite.load_passages(corpus.pointed_at)
    logger.info(f"{corpus.name}: {passages.description}")
    language_model = LanguageModel.load(LANGUAGE_MODEL)
    return passages, language_model, record_cached(language_model, passages.texts)


def make_task(
    corpus: WrittenCorpus,
    concept: str,
    read: tuple[PassageSet, LanguageModel, np.ndarray],
    samples: int,
    seed: int,
    folder: Path,
) -> Task:
    """Fit the topic on seen documents, refine it there, and give gold the same classifier.

    Raises:
        BasinError: the corpus has no gold labels for the concept, or too few of the seen or unseen documents are of a
            kind to judge by.
    """
    passages, language_model, activations = read
    hidden = suite.parts(passages, seed) == 0
    document_of = passages.document_of
    seen = ~hidden[document_of]
    labels = {
        each.concept: each for each in every_gold_labels(corpus.corpus, passages.documents, SUITE_GOLD_FILE)
    }
    if concept not in labels:
        raise BasinError(
            f"{corpus.name} has no gold labels for {concept!r} in {SUITE_GOLD_FILE}; add them there."
        )
    gold = labels[concept].of_passages(document_of)
    if any(
        np.bincount(labels[concept].labels[part], minlength=2).min() < FEWEST for part in (hidden, ~hidden)
    ):
        raise BasinError(
            f"{corpus.name}, {concept}: of the seen or of the unseen documents, fewer than {FEWEST} are of a kind, and a "
            "judge needs them; take another seed or a larger corpus."
        )
    pointed = next(iter(suite.pointers(corpus.pointed_at, passages, hidden, seed, [concept])))
    settings = corpus.concepts[concept]
    notions, refined, warning = _notions(
        pointed, activations, seen, document_of, gold, corpus.pointer == "seed_words", seed
    )
    texts = passages.texts
    of_unseen, of_seen = ([texts[at] for at in np.flatnonzero(part)] for part in (~seen, seen))
    prompts = neutral_prompts(of_unseen, samples, settings, seed_for(seed, 0, "prompts"))
    practice = neutral_prompts(of_seen, samples, settings, seed_for(seed, 0, "practice"))
    return Task(
        corpus=corpus.name,
        concept=concept,
        called=settings.called,
        contrast=corpus.contrast,
        words=settings.words,
        seed=seed,
        texts=of_seen,
        activations=activations[seen],
        pointer=pointed.pointer,
        notions=notions,
        refined=refined,
        warning=warning,
        language_model=language_model,
        prompts=prompts,
        practice_prompts=practice,
        unseen=RealPassages(of_unseen, gold[~seen], document_of[~seen]),
        documents=passages.documents,
        folder=folder,
    )


def neutral_prompts(
    texts: Sequence[str], count: int, concept: WrittenConcept, seed: int, words: int = 9
) -> list[str]:
    """Openings of passages of every kind that do not name the concept, and the plain prompt once in `PLAIN_EVERY`.

    Raises `BasinError` where every opening names it.
    """
    neutral = [text for text in texts if not names(" ".join(text.split()[:words]), concept)]
    if not neutral:
        raise BasinError(f"Every passage's opening names the concept ({concept.called}); give fewer words.")
    plain = count // PLAIN_EVERY
    found = iter(openings(neutral, count - plain, words, seed))
    return [f"{PLAIN}\n\n" if at % PLAIN_EVERY == PLAIN_EVERY - 1 else next(found) for at in range(count)]


def names(prompt: str, concept: WrittenConcept) -> bool:
    """Whether a prompt has one of the concept's words, or a word of its name that is not the plain prompt's, in any ending."""
    told = {word.casefold() for word in (*concept.words, *concept.called.split())} - NEUTRAL
    stems = {word.removesuffix("y") for word in told}  # married, philosopher
    return any(
        word.startswith(stem)
        for word in re.findall(r"\w+", prompt.casefold())
        for stem in stems
        if len(stem) > 2
    )


def _notions(
    pointed: Pointed,
    activations: Float[np.ndarray, "passage layer width"],
    seen: Bool[np.ndarray, "passage"],
    document_of: Int[np.ndarray, "passage"],
    gold: Bool[np.ndarray, "passage"],
    seeded: bool,
    seed: int,
) -> tuple[dict[str, Notion], Refined, str | None]:
    """The three notions on the seen passages; also the refiner's own doubt that there is a concept at all."""
    config = ClusteringConfig().of_pointer(seeded)
    claimed = claimed_size(pointed, seen, document_of, seeded)
    documents = numbered(document_of[seen])
    real = Texts(activations[seen], log_odds(pointed.reading.of(seen).weights))
    projection = Projection.fit(real.activations, COMPONENTS)
    anchored = estimate_prior(real, documents, claimed, config, seed, projection=projection)
    settled = settle(real, documents, anchored, config, seed)[-1]
    cut = threshold(real.pointer_log_odds, claimed)
    reader = linear_reader(projection, real.activations, gold[seen].astype(np.float64))
    at_gold = threshold(reader(real.activations, real.pointer_log_odds), float(gold[seen].mean()))
    notions = {
        "topic": Notion(
            document_membership(document_mean(real.pointer_log_odds, documents), documents, claimed),
            lambda texts: texts.pointer_log_odds - cut,
        ),
        "basin": Notion(
            settled.membership,
            lambda texts: settled.readout.log_odds(texts.activations, texts.pointer_log_odds),
        ),
        "gold": Notion(
            gold[seen].astype(np.float64),
            lambda texts: reader(texts.activations, texts.pointer_log_odds) - at_gold,
        ),
    }
    refined = Refined(real, documents, anchored, settled, config, seed)
    return (
        notions,
        refined,
        no_concept(anchored.trust, pointed.reading.of(seen).document_spread(documents), config),
    )
