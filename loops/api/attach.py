"""Use a round's concept in any transformers model, pipeline or `generate`, for one block of code.

with steered(pipe.model, "checkpoints/brown"):
    pipe("It was late when")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.concept import Concept
from agent.config import check_number
from agent.corpora.text import clean_text
from agent.errors import BasinError

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel


@contextmanager
def steered(
    model: Any,
    run: str | Path,
    round: int | None = None,  # noqa: A002
    strength: float = 1.0,
    *,
    accept_model: bool = False,
) -> Iterator[Any]:
    """Steer a transformers model, or a pipeline's, until the block ends.

    The vector is added as in the run. An adapter is merged into the weights, which are restored bit
    by bit afterwards.

    Args:
        model: the run's model, or a pipeline of it.
        strength: times the vector; it does not change the adapter.
        accept_model: take a model with other weights than the run's.

    Raises:
        BasinError: no such run or round, a round that cannot generate, another model, or a strength
            that is not a finite number.
    """
    check_number("strength", strength)
    inner, tokenizer = _inner(model)
    concept = _concept(run, round, None if accept_model else inner)
    with _left_as_it_was(inner):
        own = _wrapped(inner, tokenizer)
    with _adapted(inner, concept), own.steer(concept.vector, strength), _clean_texts(model):
        yield model


@contextmanager
def _clean_texts(model: Any) -> Iterator[None]:
    """Read a pipeline's texts as a corpus's, by `clean_text`."""
    preprocess = getattr(model, "preprocess", None)
    if preprocess is None:
        yield
        return

    def cleaned(text: Any, *arguments: Any, **options: Any) -> Any:
        for turn in getattr(text, "messages", ()):
            if isinstance(turn.get("content"), str):
                turn["content"] = clean_text(turn["content"])
        return preprocess(clean_text(text) if isinstance(text, str) else text, *arguments, **options)

    model.preprocess = cleaned
    try:
        yield
    finally:
        model.preprocess = preprocess


@contextmanager
def _adapted(model: Any, concept: Concept) -> Iterator[None]:
    """Merge the adapter into the model's weights, and restore them afterwards."""
    if concept.adapter is None:
        yield
        return
    with _left_as_it_was(model):
        adapted = _wrapped(model, None).adapted(concept.adapter).model
    theirs, kept = dict(adapted.named_parameters()), {}
    try:
        for name, weight in model.named_parameters():
            if theirs[name] is not weight:
                kept[name] = weight.data
                weight.data = theirs[name].data
        yield
    finally:
        for name, weight in model.named_parameters():
            if name in kept:
                weight.data = kept[name]


def _inner(model: Any) -> tuple[Any, Any]:
    """Return the transformers model, and the tokenizer of a pipeline."""
    tokenizer = getattr(model, "tokenizer", None)
    inner = model.model if tokenizer is not None and hasattr(model, "model") else model
    if not hasattr(inner, "config") or not hasattr(inner, "generate"):
        raise BasinError(
            f"{type(model).__name__} is no causal language model of transformers and no pipeline of one."
        )
    return inner, tokenizer


@contextmanager
def _left_as_it_was(model: Any) -> Iterator[None]:
    """Restore training mode and gradients, which wrapping a model turns off."""
    gradients, training = [weight.requires_grad for weight in model.parameters()], model.training
    try:
        yield
    finally:
        for weight, wanted in zip(model.parameters(), gradients, strict=True):
            weight.requires_grad_(wanted)
        model.train(training)


def _wrapped(model: Any, tokenizer: Any) -> LanguageModel:
    from agent.language_model.load import LanguageModelConfig
    from agent.language_model.model import LanguageModel

    name = str(getattr(model.config, "name_or_path", "") or type(model).__name__)
    return LanguageModel(model, tokenizer, LanguageModelConfig(name=name))


def _concept(run: str | Path, number: int | None, model: Any) -> Concept:
    """Return a round's concept; `model`, if any, must have the weights that the run was made with."""
    from loops.checkpoint.find import find_run
    from loops.checkpoint.run_models import has_kept_weights
    from loops.checkpoint.store import RunStore

    store = RunStore.open(find_run(str(run)))
    if model is not None and not has_kept_weights(store, model):
        raise BasinError(
            f"The weights of this {type(model).__name__} are not those that {store.name} was made with: load "
            f"{store.config.language_model.name!r}, or give accept_model=True."
        )
    concept = store.load_chosen(number).concept
    if not concept.can_write:
        raise BasinError(
            f"Round {concept.round} of {store.name} has no vector to generate with: choose a later round."
        )
    return concept
