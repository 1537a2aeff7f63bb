"""Generate from a stored concept: plain samples, or particles at the members' log-odds."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from agent.concept import Concept
from agent.config import check_number
from agent.corpora.passages import sentence_ends
from agent.corpora.text import given_text
from agent.corpora.words import running_words
from agent.errors import BasinError
from agent.language_model.architecture import longest_sequence
from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.language_model.token_counts import token_lengths, tokens_per_word
from agent.progress import advance
from agent.types import seed_for
from loops.api.classifier import read_texts
from loops.checkpoint.run_models import keep_model, refuse_other_model
from loops.checkpoint.store import RunStore
from loops.config import changed_keys, with_overrides
from loops.records import RoundRecord
from loops.round.particles import member_log_odds, particle_writer
from loops.round.writing import openings

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel


def write(
    store: RunStore,
    number: int | None,
    count: int,
    *,
    words: int | None = None,
    prompt: str | None = None,
    seed: int = 0,
    strength: float = 1.0,
    particles: int = 1,
    accept_model: bool = False,
    overrides: Sequence[str] = (),
) -> Iterator[tuple[str, str]]:
    """Return an iterator that writes `count` pairs of prompt and continuation, batch by batch.

    Args:
        number: the round; None is the newest.
        words: about so many a continuation, ended with a sentence; None: `generation.new_tokens`.
        particles: per passage; above 1, passages are sampled to the log-odds of real members.
        accept_model: generate with another model than that of the rounds, and keep that with the run.
        overrides: of the run's settings of generation, as `generation.temperature=0.7`.

    Raises:
        BasinError: a number out of range, a setting that is not one of generation, no such round, a
            round without a steering vector, another model than the run's, more words than it can
            write, or as `LanguageModel.load`.
    """
    check_number("strength", strength)
    for name, value, least in (("count", count, 1), ("particles", particles, 1), ("seed", seed, 0)):
        check_number(name, value, least=least, whole=True)
    settings = with_overrides(store.config, overrides) if overrides else store.config
    if other := [key for key in changed_keys(store.config, settings) if not key.startswith("generation.")]:
        raise BasinError(f"A stored round keeps its {other[0]}: set only what begins with generation.")
    concept = _concept(store, number)
    if not concept.can_write:
        raise _cannot_write(store, concept)
    prompts = _prompts(store, count, prompt, settings.generation.prompt_words, seed)
    language_model = _model(store, concept, accept_model)
    seeds = [seed_for(seed, number, "generate") for number in range(len(prompts))]
    config = _sized(store, settings.generation, language_model, prompts, words)
    texts_of = _writer(store, concept, language_model, config, particles, strength=strength)
    size = max(1, config.batch_size // particles)

    def batches() -> Iterator[tuple[str, str]]:
        for start in range(0, len(prompts), size):
            heads, own = prompts[start : start + size], seeds[start : start + size]
            yield from (
                (head, _ended(text, words)) for head, text in zip(heads, texts_of(heads, own), strict=True)
            )
            if len(prompts) > size:
                advance("written", min(start + size, len(prompts)), len(prompts), "passages")

    return batches()


def _sized(
    store: RunStore, config: GenerationConfig, model: LanguageModel, prompts: list[str], words: int | None
) -> GenerationConfig:
    """Settings with tokens for so many words of the run's texts, and as many tokens a batch as without."""
    if words is None:
        return config
    check_number("words", words, least=1, whole=True)
    # A tenth more, because generated words may be longer.
    rate = 1.1 * tokens_per_word(model.tokenizer, store.load_passages().texts)
    room = longest_sequence(model.model) - max(token_lengths(model.tokenizer, prompts))
    if (most := max(int(room / rate), 0)) < words:
        raise BasinError(f"The model's context ends before {words} words: lower --words to {most}.")
    tokens = math.ceil(words * rate)
    size = max(1, config.batch_size * config.new_tokens // tokens)
    return config.model_copy(update={"new_tokens": tokens, "batch_size": min(size, config.batch_size)})


def _ended(text: str, words: int | None) -> str:
    """The text up to the sentence end nearest to `words` words, within a fifth; without one, to a word."""
    if words is None:
        return text
    ends = [0, *(match.end() for match in running_words(text))]
    apart = {at: abs(bisect(ends, at) - 1 - words) for at in sentence_ends(text)}
    near = [at for at, distance in apart.items() if distance <= words / 5]
    return text[: min(near, key=apart.__getitem__, default=ends[min(words, len(ends) - 1)])].rstrip()


def _writer(
    store: RunStore,
    concept: Concept,
    language_model: LanguageModel,
    config: GenerationConfig,
    particles: int,
    *,
    strength: float,
) -> Callable[[Sequence[str], Sequence[int]], list[str]]:
    """Texts from prompts and seeds: plain samples, or one of several particles each."""
    model = language_model.adapted(concept.adapter)
    if particles == 1:
        return lambda heads, own: model.generate(heads, own, config, concept.vector, strength)
    if (readout := concept.readout) is None:
        raise _cannot_write(store, concept)
    settings = ParticleConfig(particles=particles)

    def score(texts: Sequence[str]) -> Float[np.ndarray, "text"]:
        return read_texts(readout, language_model, texts)

    wanted = member_log_odds(concept.single, concept.membership)
    vector = None if concept.vector is None else strength * concept.vector
    return particle_writer(model, score, wanted, config, settings, vector=vector)


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


def _prompts(store: RunStore, count: int, prompt: str | None, words: int, seed: int) -> list[str]:
    if prompt is not None:
        return [given_text(prompt, "The prompt")] * count
    return openings(store.load_passages().texts, count, words, seed_for(seed, 0, "generate/openings"))
