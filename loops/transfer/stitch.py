"""`basin stitch`: a run's concept carried into another model, and the evidence that it arrived.

The maps are learnt on general text, the strength is calibrated in the model that is steered, and whoever reads what is
written is the other model: nothing is optimised on what the second model writes. Nothing here can read a gold label;
`loops/transfer/evaluate.py` compares what was written with them afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from agent.errors import BasinError
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.membership.similarity import soft_jaccard
from agent.transfer.effect import Effect, effect
from agent.transfer.learn import Stitches, StitchingConfig, learn
from agent.types import seed_for
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord, refuse_other_model
from loops.transfer.effects import BASE, NATIVE, Bench, Pushed
from loops.transfer.general_text import general_texts
from loops.transfer.vectors import in_first, in_second

COMPARED = ("translated", "control")
"""Kinds of vector that are compared with the native one."""
Readings = Callable[[Pushed], Float[np.ndarray, "text"]]


@dataclass(frozen=True)
class Stitched:
    """All evidence of one concept between two models."""

    run: str
    round: int
    first: str
    second: str
    nats: float
    stitches: Stitches
    prompts: Sequence[str]
    pushed: Sequence[Pushed]
    notion_overlap: float
    """Soft Jaccard on real passages of the concept and of what the second model makes of its memberships."""
    left_behind: bool = False
    """Whether the round has an adapter besides: it belongs to its own model's weights, and no map takes it anywhere."""

    def of(self, model: str, name: str) -> Pushed:
        return next(each for each in self.pushed if (each.model, each.name) == (model, name))

    def effect(self, pushed: Pushed, readings: Readings | None = None) -> Effect:
        """Against the base model and, in the second model, the native vector; of the other model's readings by default."""
        read = readings or (lambda each: each.readings)
        native = read(self.of(self.second, NATIVE)) if pushed.model == self.second else None
        return effect(
            read(pushed), read(self.of(pushed.model, BASE)), native, draws=max(1, len(pushed.vectors))
        )

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for every vector in every model; None for what is not a number."""
        return [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in self._row(each).items()
            }
            for each in self.pushed
        ]

    def _row(self, pushed: Pushed) -> dict[str, Any]:
        found, base = self.effect(pushed), self.of(pushed.model, BASE)
        native = self.of(self.second, NATIVE)
        leaning = (
            pushed.leaning / native.leaning if pushed.model == self.second and native.leaning > 0 else None
        )
        return {
            "run": self.run,
            "from": self.first,
            "to": self.second,
            "model": pushed.model,
            "vector": pushed.name,
            "kind": pushed.kind,
            "nats": pushed.nats,
            **pushed.numbers,
            "reading": float(pushed.readings.mean()),
            "effect": found.mean,
            "effect_error": found.error,
            "behavioural_ratio": found.ratio if pushed.kind in COMPARED else None,
            "ratio_error": found.ratio_error if pushed.kind in COMPARED else None,
            "helped": found.helped,
            "leaning": pushed.leaning,
            "leaning_ratio": leaning if pushed.kind in COMPARED else None,
            "coherence": float(pushed.coherent.mean()),
            "coherence_of_base": float(base.coherent.mean()),
            "soft_jaccard_intersection": self.notion_overlap,
            "samples": len(pushed.texts),
            "draws": len(pushed.vectors),
        }


@dataclass(frozen=True)
class Pair:
    """Two models and the maps between them: learnt once for all runs of one model over one corpus."""

    first: LanguageModel
    second: LanguageModel
    stitches: Stitches
    documents: frozenset[str]
    """Of the runs, which the maps have not seen."""

    @classmethod
    def of(cls, store: RunStore, to: str, config: StitchingConfig) -> Pair:
        """Load the run's model and the other one, and learn the maps on general text.

        Raises:
            BasinError: the other model is the run's own, or not to be had, or text for the maps is wanting.
        """
        refuse_own_model(store, to)
        passages, seed = store.load_passages(), seed_for(store.config.seed, 0, "stitch")
        first = LanguageModel.load(store.config.language_model)
        second = LanguageModel.load(LanguageModelConfig(name=to))
        texts, parts = general_texts(config, passages, store.config.seed)
        stitches = learn(first, second, texts, parts, first.layers, config, seed)
        return cls(first, second, stitches, frozenset(each.id for each in passages.documents))

    def serves(self, store: RunStore) -> bool:
        """Whether another run's concept can go the same way: its model and its documents are the same."""
        documents = {each.id for each in store.load_passages().documents}
        return store.config.language_model == self.first.config and documents == self.documents


def refuse_own_model(store: RunStore, to: str) -> None:
    """Raise `BasinError` for a run that was made in the model that its concept is to go to."""
    if to == store.config.language_model.name:
        raise BasinError(f"{store.name} was made in {to} itself; name another model with --to.")


def chosen_settings(config: StitchingConfig, changes: Mapping[str, object]) -> StitchingConfig:
    """The settings with some changed. Raises `BasinError` for a value that they cannot take."""
    try:
        return StitchingConfig.model_validate(config.model_dump() | dict(changes))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BasinError(f"stitching.{place}: {first['msg'].lower()} (got {first['input']!r}).") from None


def carry(store: RunStore, number: int | None) -> RoundRecord:
    """The round whose concept is to be carried over, the newest when `number` is None.

    Raises `BasinError` where there is no such round, it has no vector and readout, or nothing is inside or outside.
    """
    record = store.load(next(reversed(store.rounds()), 0) if number is None else number)
    concept, which = record.concept, f"Round {record.round} of {store.name}"
    if concept.vector is None or concept.readout is None:
        raise BasinError(f"{which} has no vector and readout to carry over; name a round that steers.")
    if concept.inside.all() or not concept.inside.any():
        raise BasinError(
            f"{which} has no passages inside its concept, or none outside, to find a vector of the other model from; name "
            "another round."
        )
    return record


def stitch(
    store: RunStore,
    record: RoundRecord,
    pair: Pair,
    config: StitchingConfig,
    *,
    samples: int = 48,
    nats: float | None = None,
) -> Stitched:
    """Carry a round's concept into the pair's second model, and gather the evidence.

    Raises:
        BasinError: the second model cannot be steered, or nothing of a vector arrives there.
    """
    refuse_other_model(store.name, [record], pair.first)
    concept, seed = record.concept, seed_for(store.config.seed, 0, "stitch")
    bench = Bench.set_up(
        *(store, concept, pair.first, pair.second, pair.stitches), nats=nats, samples=samples, seed=seed
    )
    pushed = [*in_first(bench), *in_second(bench, config)]
    return Stitched(
        store.name,
        record.round,
        pair.first.config.name,
        pair.second.config.name,
        bench.nats,
        pair.stitches,
        bench.prompts,
        pushed,
        soft_jaccard(bench.taught.membership, concept.membership),
        concept.adapter is not None,
    )
