"""Writing from a stored concept."""

from __future__ import annotations

from agent.errors import BasinError
from agent.types import seed_for
from loops.openings import openings
from loops.progress import Progress
from loops.store import RunStore


def write(
    store: RunStore,
    number: int | None,
    count: int,
    prompt: str | None,
    seed: int,
    strength: float,
    progress: Progress,
) -> list[tuple[str, str]]:
    """`count` pairs of prompt and continuation, from a round's concept (the newest when `number` is None).

    Raises:
        BasinError: no such round, or one that has no steering vector, or as `LanguageModel.load`.
    """
    from agent.language_model import LanguageModel

    rounds = store.rounds()
    if number is None and not rounds:
        raise BasinError(f"{store.name} has no whole round yet; `basin resume {store.name}` goes on with it.")
    concept = store.load(rounds[-1] if number is None else number).concept
    if concept.vector is None:
        raise BasinError(
            f"Round {concept.round} of {store.name} is the topic, which cannot write; choose a later --round."
        )
    config = store.config.generation
    prompts = [prompt] * count
    if prompt is None:
        texts = store.load_passages().texts
        prompts = openings(texts, count, config.prompt_words, seed_for(seed, 0, "generate/openings"))
    language_model = LanguageModel.load(store.config.language_model, progress.say)
    seeds = [seed_for(seed, number, "generate") for number in range(count)]
    texts = language_model.generate(prompts, seeds, config, concept.vector, strength, progress.say)
    return list(zip(prompts, texts, strict=True))
