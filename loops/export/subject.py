"""The round that an export writes; passages, pointer and model are read on demand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.concept import Concept
from agent.config import check_number
from agent.errors import BasinError, first_sentence
from agent.pointer.topic_model import Pointer
from agent.steering.vector import SteeringVector
from agent.types import PassageSet
from loops.checkpoint.run_models import refuse_other_model
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel


@dataclass(frozen=True)
class Export:
    """One round and how to export it."""

    store: RunStore
    record: RoundRecord
    strength: float = 1.0
    """Multiplies the round's vector; the round itself generates at 1."""
    dtype: str = "bfloat16"
    """Of weights."""

    @classmethod
    def of(
        cls, store: RunStore, number: int | None, *, strength: float = 1.0, dtype: str = "bfloat16"
    ) -> Export:
        """A round by number, or the newest.

        Raises `BasinError` if the run has no such round, or the strength is not a finite number.
        """
        check_number("strength", strength)
        return cls(store, store.load_chosen(number), strength, dtype)

    @property
    def round(self) -> int:
        return self.record.round

    @property
    def concept(self) -> Concept:
        return self.record.concept

    @property
    def title(self) -> str:
        return f"round {self.round} of {self.store.name}"

    @cached_property
    def pointer(self) -> Pointer:
        return self.store.load_pointer()

    @property
    def words(self) -> list[str]:
        """The most probable words of the pointer's topic."""
        return self.pointer.model.top_words(self.pointer.topic)

    @cached_property
    def passages(self) -> PassageSet:
        return self.store.load_passages()

    @property
    def vector(self) -> SteeringVector:
        """The round's vector times the strength.

        Raises `BasinError` if the round has none, or float32 does not hold the product.
        """
        if self.concept.vector is None:
            raise BasinError(
                f"Round {self.round} of {self.store.name} has no steering vector: "
                "export its adapter, or another --round."
            )
        vector = self.strength * self.concept.vector
        if not all(direction.isfinite().all() for direction in vector.directions.values()):
            raise BasinError(f"The vector times {self.strength:g} is beyond float32: lower --strength.")
        return vector

    @property
    def base_name(self) -> str:
        """The run's language model as its configuration names it."""
        return self.store.config.language_model.name

    @property
    def model_name(self) -> str:
        """The base model's name without local folders."""
        return Path(self.base_name).name if os.path.exists(self.base_name) else self.base_name

    @cached_property
    def model_config(self) -> Any:
        """The base model's configuration. Raises `BasinError` as `resolve_model`."""
        from transformers import AutoConfig

        from agent.hub.models import local_files_only, resolve_model
        from agent.hub.quiet import quiet_transformers

        path = resolve_model(self.base_name)
        try:
            with quiet_transformers():
                return AutoConfig.from_pretrained(path, local_files_only=local_files_only(path))
        except (OSError, ValueError) as error:
            raise BasinError(
                f"The language model {self.base_name!r} cannot be read ({first_sentence(error)}): "
                "restore it to that place."
            ) from None

    def language_model(self) -> LanguageModel:
        """The base model in float32, for exact merging. Raises `BasinError` for another model."""
        from agent.language_model.model import LanguageModel

        config = self.store.config.language_model.model_copy(update={"dtype": "float32"})
        found = LanguageModel.load(config)
        refuse_other_model(self.store, [self.record], found)
        return found

    def metadata(self) -> dict[str, str]:
        """Metadata of vector files: origin, model, strength and use."""
        adapter = self.concept.adapter
        return {
            "run": self.store.name,
            "round": str(self.round),
            "model": self.model_name,
            "strength": repr(self.strength),
            "nats_per_token_at_strength_1": repr(float(self.concept.nats_per_token)),
            "calibrated_on": "the model with the round's adapter" if adapter else "the base model",
            "use": "added at every position",
            "layers": "layer l is the stream after l blocks; direction l - 1 in a control vector",
        }
