"""`basin stitch`: a run's concept translated into another model, with the evidence for it.

Maps are learnt on general text, the strength is calibrated in the steered model, and the other
model scores the texts. Nothing is optimised on what the second model writes. No code here can read
a gold label; `loops/transfer/evaluate.py` compares the texts with labels afterwards.
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
from agent.membership.similarity import soft_jaccard
from agent.transfer.effect import Effect, effect
from agent.transfer.learn import Stitches, StitchingConfig
from agent.types import seed_for
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord, refuse_other_model
from loops.transfer.trials import BASE, COMPARED, NATIVE, Pair, Setup, Trial
from loops.transfer.vectors import try_in_first, try_in_second


@dataclass(frozen=True)
class Stitching:
    """All evidence of one concept between two models."""

    run: str
    round: int
    first: str
    second: str
    nats: float
    stitches: Stitches
    prompts: Sequence[str]
    trials: Sequence[Trial]
    overlap: float
    """Soft Jaccard on real passages of the concept and the second model's version of it."""
    left_behind: bool = False
    """Whether the round also has an adapter, which no map carries to another model."""

    def of(self, model: str, name: str) -> Trial:
        return next(each for each in self.trials if (each.model, each.name) == (model, name))

    def effect(self, trial: Trial, readings: Callable[[Trial], Float[np.ndarray, "text"]]) -> Effect:
        """Against the base model and, in the second model, against the native vector."""
        native = readings(self.of(self.second, NATIVE)) if trial.model == self.second else None
        base = readings(self.of(trial.model, BASE))
        return effect(readings(trial), base, native, draws=max(1, len(trial.vectors)))

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for every vector in every model; None for a number that is not finite."""
        return [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in self._row(each).items()
            }
            for each in self.trials
        ]

    def _row(self, trial: Trial) -> dict[str, Any]:
        found, native = self.effect(trial, lambda each: each.readings), self.of(self.second, NATIVE)
        compared = trial.kind in COMPARED
        comparable = compared and trial.model == self.second and native.leaning > 0
        return {
            "run": self.run,
            "from": self.first,
            "to": self.second,
            "model": trial.model,
            "vector": trial.name,
            "kind": trial.kind,
            "nats": trial.nats,
            **trial.numbers,
            "reading": float(trial.readings.mean()),
            "effect": found.mean,
            "effect_error": found.error,
            "behavioural_ratio": found.ratio if compared else None,
            "ratio_error": found.ratio_error if compared else None,
            "helped": found.helped,
            "leaning": trial.leaning,
            "leaning_ratio": trial.leaning / native.leaning if comparable else None,
            "coherence": float(trial.coherent.mean()),
            "coherence_of_base": float(self.of(trial.model, BASE).coherent.mean()),
            "soft_jaccard_intersection": self.overlap,
            "samples": len(trial.texts),
            "draws": len(trial.vectors),
        }


def chosen_settings(config: StitchingConfig, changes: Mapping[str, object]) -> StitchingConfig:
    """The settings with some changed. Raises `BasinError` for a wrong value."""
    try:
        return StitchingConfig.model_validate(config.model_dump() | dict(changes))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BasinError(f"stitching.{place}: {first['msg'].lower()} (got {first['input']!r}).") from None


def carry(store: RunStore, number: int | None) -> RoundRecord:
    """The round whose concept is carried over, the newest when `number` is None.

    Raises `BasinError` for no such round, no vector or readout, or a concept without members or
    without others.
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
) -> Stitching:
    """Translate a round's concept into the pair's second model, and gather the evidence.

    Raises:
        BasinError: the second model cannot be steered, or a translated vector is zero.
    """
    refuse_other_model(store.name, [record], pair.first)
    concept, seed = record.concept, seed_for(store.config.seed, 0, "stitch")
    setup = Setup.of(store, concept, pair, nats=nats, samples=samples, seed=seed)
    return Stitching(
        run=store.name,
        round=record.round,
        first=pair.first.config.name,
        second=pair.second.config.name,
        nats=setup.nats,
        stitches=pair.stitches,
        prompts=setup.prompts,
        trials=[*try_in_first(setup), *try_in_second(setup, config)],
        overlap=soft_jaccard(setup.probe.membership, concept.membership),
        left_behind=concept.adapter is not None,
    )
