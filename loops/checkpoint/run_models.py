"""The models that a run's rounds were made with: kept in run.json, and compared when loaded again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.errors import BasinError
from loops.checkpoint.run_file import KeptModel, read_run_file, write_run_file
from loops.records import RoundRecord

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel
    from loops.checkpoint.store import RunStore

logger = logging.getLogger(__name__)

GENERATING, JUDGING = "language_model", "coherence.model"
"""Roles of models, named as their settings."""


def keep_model(
    store: RunStore, language_model: LanguageModel, role: str = GENERATING, *, accept: bool = False
) -> None:
    """Keep a model's identity before the first round, and later refuse another; hold `RunStore.exclusive`.

    Args:
        accept: keep another model from the next round on, instead of refusing it.

    Raises:
        BasinError: as `refuse_other_model`; another shape is never accepted.
    """
    rounds, kept = store.rounds(), _kept(store, role)
    records = [store.load(rounds[-1])] if rounds and role == GENERATING else []
    if accept:
        _refuse_other_shape(store, records, language_model)
    else:
        refuse_other_model(store, records, language_model, role)
    if rounds and kept is not None:
        if kept.dtype != language_model.identity.dtype:
            logger.warning(
                f"{store.name} was begun with weights in {kept.dtype}, and they are read in "
                f"{language_model.identity.dtype} here: numbers differ by rounding (language_model.dtype)."
            )
        if not (parts := kept.identity.differences(language_model.identity)):
            return
        logger.warning(
            f"{store.name} goes on with another model ({role}), which differs in {_joined(parts)}."
        )
    found = read_run_file(store.path)
    earlier = [each for each in found.about.models if each.role != role or rounds]
    now = KeptModel(role=role, from_round=rounds[-1] + 1 if rounds else 0, **asdict(language_model.identity))
    write_run_file(store.path, found.about.model_copy(update={"models": [*earlier, now]}), found.config)


def refuse_other_model(
    store: RunStore, records: Sequence[RoundRecord], language_model: LanguageModel, role: str = GENERATING
) -> None:
    """Raise `BasinError` for a model of another shape than these rounds', or of another identity."""
    _refuse_other_shape(store, records, language_model)
    kept = _kept(store, role)
    if kept is not None and store.rounds() and (parts := kept.identity.differences(language_model.identity)):
        raise BasinError(
            f"{language_model.config.name!r} is not the model that {store.name} was made with ({role}): it "
            f"differs in {_joined(parts)}; put that model back, or accept this one with `basin resume` or `basin "
            "generate` --accept-model."
        )


def has_kept_weights(store: RunStore, model: Any) -> bool:
    """Whether a transformers model may have a run's weights: number formats that differ tell nothing."""
    kept = _kept(store, GENERATING)
    return kept is None or kept.identity.may_have_weights_of(model)


def _refuse_other_shape(
    store: RunStore, records: Sequence[RoundRecord], language_model: LanguageModel
) -> None:
    own_width, own_layers, depth = language_model.width, len(language_model.layers), language_model.depth
    for record in records:
        concept, vector = record.concept, record.concept.vector
        recorded = [concept.readout.weights] if concept.readout is not None else []
        recorded += [record.activations] if record.activations is not None else []
        shapes = [array.shape[-2:] for array in recorded]
        layers = [f"{count} recorded layers" for count, _ in shapes if count != own_layers]
        widths = [width for _, width in shapes] + ([vector.width] if vector else [])
        if vector is not None and max(vector.layers) >= depth:
            layers.append(f"a vector at layer {max(vector.layers)}")
        wrong = [f"width {width}" for width in widths if width != own_width]
        if layers or wrong:
            own = f"{own_layers} recorded layers of {depth}" if layers else f"width {own_width}"
            raise BasinError(
                f"Round {record.round} of {store.name} was made with another model ({[*layers, *wrong][0]}) than "
                f"{language_model.config.name!r} ({own}): put the model back that the run was made with."
            )


def _kept(store: RunStore, role: str) -> KeptModel | None:
    """The newest identity in a role; None where run.json has none."""
    models = read_run_file(store.path).about.models
    return next((each for each in reversed(models) if each.role == role), None)


def _joined(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
