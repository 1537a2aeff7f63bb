"""`basin stitch`: a run's concept translated into another model, with the evidence for it.

Maps are learnt on general text, the strength is calibrated in the steered model, and the other
model scores the texts. Nothing is optimised on what the second model writes. No code here can read
a gold label; `loops/transfer/evaluate.py` compares the texts with labels afterwards.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from jaxtyping import Float

from agent.config import check_number
from agent.errors import BasinError, writing
from agent.files.checked import DamagedError, read_inside
from agent.transfer.effect import Effect, effect
from agent.transfer.learn import Stitches, StitchingConfig
from loops.checkpoint.atomic import MOST_TENSORS, inner_folder, write_file
from loops.checkpoint.schema import read_sealed, sealed
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord
from loops.transfer.trials import BASE, COMPARED, NATIVE, Setup, Trial
from loops.transfer.vectors import try_vectors

STITCHES = "stitches"
TABLE, VECTORS = "stitch.json", "vectors.safetensors"


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
        """A flat row for every vector in every model."""
        return [self._row(each) for each in self.trials]

    def _row(self, trial: Trial) -> dict[str, Any]:
        found, compared = self.effect(trial, lambda each: each.readings), trial.kind in COMPARED
        return {
            "run": self.run,
            "from": self.first,
            "to": self.second,
            "model": trial.model,
            "vector": trial.name,
            "kind": trial.kind,
            "nats": self.nats if trial.vectors else 0.0,
            **trial.numbers,
            "effect": found.mean,
            "effect_error": found.error,
            "behavioural_ratio": found.ratio if compared else None,
            "ratio_error": found.ratio_error if compared else None,
            "coherence": float(trial.coherent.mean()),
            "samples": len(trial.texts),
            "draws": len(trial.vectors),
        }


def carry(store: RunStore, number: int | None, to: str) -> RoundRecord:
    """The round whose concept is carried over, the newest when `number` is None.

    Raises `BasinError` for the run's own model, no such round, no vector or readout, or a concept
    without members or without others.
    """
    if to == store.config.language_model.name:
        raise BasinError(f"{store.name} was made in {to} itself; name another model with --to.")
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
    to: str,
    config: StitchingConfig,
    *,
    samples: int = 48,
    nats: float | None = None,
) -> Stitching:
    """Translate a round's concept into the model `to`, and gather the evidence.

    Args:
        samples: passages written with each vector.
        nats: strength of every vector; None: that of the run.

    Raises:
        BasinError: the second model cannot be loaded or steered, there is too little general text,
            a translated vector is zero, or a number is none.
    """
    check_number("samples", samples, least=8, whole=True)
    if nats is not None:
        check_number("nats", nats, least=1e-4)
    setup = Setup.of(store, record, to, config, nats=nats, samples=samples)
    return Stitching(
        run=store.name,
        round=record.round,
        first=setup.first.config.name,
        second=setup.second.config.name,
        nats=setup.nats,
        stitches=setup.stitches,
        prompts=setup.prompts,
        trials=try_vectors(setup),
        left_behind=record.concept.adapter is not None,
    )


def save_stitch(found: Stitching, store: RunStore) -> Path:
    """Write rows, samples and vectors to a folder inside the run, which is returned."""
    vectors = safetensors.torch.save(
        {
            f"{each.model}.{each.name}{f'.{draw}' if len(each.vectors) > 1 else ''}.{name}": tensor
            for each in found.trials
            for draw, vector in enumerate(each.vectors)
            for name, tensor in vector.tensors().items()
        }
    )
    content = {
        "run": found.run,
        "round": found.round,
        "from": found.first,
        "to": found.second,
        "nats_per_token": found.nats,
        "tokens": found.stitches.tokens,
        "partner": {str(layer): there for layer, there in found.stitches.partner.items()},
        "rows": found.rows(),
        "layers": found.stitches.layers,
        "svcca": found.stitches.similarity.tolist(),
        "samples": [
            {"model": each.model, "vector": each.name, "prompt": prompt, "text": text}
            | {"reading": float(reading), "coherent": bool(coherent)}
            for each in found.trials
            for prompt, text, reading, coherent in zip(
                found.prompts, each.texts, each.readings, each.coherent, strict=True
            )
        ],
        "vectors_sha256": hashlib.sha256(vectors).hexdigest(),
    }
    folder = store.path / STITCHES / f"{file_name(found.second)}_round_{found.round:03d}"
    with writing(folder, "make room there"):
        inner_folder(store.path, STITCHES, folder.name)
        write_file(folder / VECTORS, vectors)
        write_file(folder / TABLE, sealed(content))  # last, with the digest of the vectors
    return folder


def check_stitch(folder: Path) -> None:
    """Raise `DamagedError` where a stitching's table or vectors are not what was written."""
    vectors = read_inside(folder, VECTORS, MOST_TENSORS)
    if hashlib.sha256(vectors).hexdigest() != read_sealed(folder, TABLE).get("vectors_sha256"):
        raise DamagedError(f"{VECTORS} is not what was written")


def file_name(name: str) -> str:
    """A model's name as part of a file's."""
    return re.sub(r"[^a-zA-Z0-9.-]+", "_", name)
