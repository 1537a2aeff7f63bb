"""Generate from a stored concept: steered, or base-model samples that the concept accepts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agent.concept import Concept, Readout
from agent.config import check_number
from agent.corpora.text import given_text
from agent.errors import BasinError
from agent.language_model.decoding.rejection import Kept, Proposal, keep
from agent.membership.log_odds import log_odds
from agent.progress import advance
from agent.types import seed_for
from loops.checkpoint.run_models import JUDGING, keep_model, refuse_other_model
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord
from loops.round.writing import fair_guard, openings

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel
logger = logging.getLogger(__name__)


def write(
    store: RunStore,
    number: int | None,
    count: int,
    *,
    prompt: str | None = None,
    seed: int = 0,
    strength: float = 1.0,
    best_of: int = 1,
    accept_model: bool = False,
) -> list[tuple[str, str]]:
    """Return `count` pairs of prompt and continuation from a round's concept.

    Args:
        number: the round; None is the newest.
        best_of: continuations per prompt; the coherent one with the highest membership is returned.
        accept_model: generate with another model than that of the rounds, and keep that with the run.

    Raises:
        BasinError: a number out of range, no such round, a round without a steering vector, another
            model than the run's, or as `LanguageModel.load`.
    """
    check_number("strength", strength)
    for name, value, least in (("count", count, 1), ("best_of", best_of, 1), ("seed", seed, 0)):
        check_number(name, value, least=least, whole=True)
    concept = _concept(store, number)
    if not concept.can_write:
        raise _cannot_write(store, concept)
    config = store.config.generation
    prompts = [opening for opening in _prompts(store, count, prompt, seed) for _ in range(best_of)]
    language_model = _model(store, concept, accept_model)
    seeds = [seed_for(seed, number, "generate") for number in range(len(prompts))]
    texts = language_model.adapted(concept.adapter).generate(
        prompts, seeds, config, concept.vector, strength, mode=concept.mode
    )
    written = list(zip(prompts, texts, strict=True))
    return written if best_of == 1 else _best(store, concept, language_model, written, best_of)


def _best(
    store: RunStore,
    concept: Concept,
    language_model: LanguageModel,
    written: Sequence[tuple[str, str]],
    best_of: int,
) -> list[tuple[str, str]]:
    from agent.language_model.coherence import Coherence

    if concept.readout is None:
        raise _cannot_write(store, concept)
    whole = [prompt + text for prompt, text in written]
    place = concept.readout.log_odds(
        language_model.record(whole), log_odds(store.load_pointer().weights(whole))
    )
    judge = Coherence.load(store.load_passages().texts, store.config.coherence)
    if judge.language_model is not None:
        refuse_other_model(store, [], judge.language_model, JUDGING)
    judge = fair_guard(judge, store.load(0).generated)
    coherent = judge.check([text for _, text in written], [prompt for prompt, _ in written]).coherent
    groups = (range(start, start + best_of) for start in range(0, len(written), best_of))
    return [written[max(group, key=lambda row: (coherent[row], place[row]))] for group in groups]


def write_accepted(
    store: RunStore,
    number: int | None,
    count: int,
    *,
    prompt: str | None = None,
    seed: int = 0,
    tries: int = 400,
    accept_model: bool = False,
) -> Kept:
    """Return at most `count` base-model passages that a round's concept accepts, of at most `tries`.

    Raises:
        BasinError: no such round, round 0, nothing accepted, or as `LanguageModel.load`.
    """
    for name, value, least in (("count", count, 1), ("tries", tries, 1), ("seed", seed, 0)):
        check_number(name, value, least=least, whole=True)
    concept = _concept(store, number)
    if concept.readout is None:
        raise _cannot_write(store, concept)
    language_model = _model(store, concept, accept_model)
    kept = keep(
        _proposals(store, language_model, concept.readout, _prompts(store, tries, prompt, seed), seed), count
    )
    if not kept.passages:
        raise BasinError(
            f"The concept accepted none of {kept.proposed} passages of the base model: raise --tries, or generate "
            "without --filter."
        )
    return kept


def _proposals(
    store: RunStore, language_model: LanguageModel, readout: Readout, prompts: Sequence[str], seed: int
) -> Iterator[Proposal]:
    """Yield base-model passages batch by batch, with the membership that the concept gives them."""
    config, pointer, tries = store.config.generation, store.load_pointer(), len(prompts)
    for start in range(0, tries, config.batch_size):
        openings_here = prompts[start : start + config.batch_size]
        seeds = [seed_for(seed, start + at, "generate") for at in range(len(openings_here))]
        texts = language_model.generate(openings_here, seeds, config)
        whole = [opening + text for opening, text in zip(openings_here, texts, strict=True)]
        membership = readout.membership(language_model.record(whole), log_odds(pointer.weights(whole)))
        advance("generate", start + len(texts), tries, "passages")
        for each in zip(openings_here, texts, seeds, membership.tolist(), strict=True):
            yield Proposal(*each)


def _model(store: RunStore, concept: Concept, accept: bool) -> LanguageModel:
    """Load the run's model. Raises `BasinError` if the round was made with another one."""
    from agent.language_model.model import LanguageModel

    language_model = LanguageModel.load(store.config.language_model)
    if accept:
        with store.exclusive():
            keep_model(store, language_model, accept=True)
    refuse_other_model(store, [RoundRecord(concept.round, concept, {})], language_model)
    return language_model


def _concept(store: RunStore, number: int | None) -> Concept:
    return store.load_chosen(number).concept


def _cannot_write(store: RunStore, concept: Concept) -> BasinError:
    return BasinError(
        f"Round {concept.round} of {store.name} is the topic, which cannot generate; choose a later --round."
    )


def _prompts(store: RunStore, count: int, prompt: str | None, seed: int) -> list[str]:
    if prompt is not None:
        return [given_text(prompt, "The prompt")] * count
    texts, words = store.load_passages().texts, store.config.generation.prompt_words
    return openings(texts, count, words, seed_for(seed, 0, "generate/openings"))
