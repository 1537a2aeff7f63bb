"""Gather what the page of a run shows, with sentences on what is missing or damaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from agent.basin.tracking import is_still
from agent.concept import MEMBER
from agent.errors import BasinError
from agent.files.checked import DamagedError
from agent.membership.log_odds import sigmoid
from agent.pointer.topic_model import Pointer
from agent.types import PassageSet
from loops.checkpoint.store import RunStore
from loops.config import RunConfig
from loops.evaluation.stored_measures import read_rows
from loops.records import RoundRecord
from loops.report.run_page.plane import PlacedPlane
from loops.report.run_page.stored import load_plane


def metric(record: RoundRecord, name: str) -> float | None:
    """A number of a round; None if it was not measured."""
    value = record.metrics.get(name)
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Material:
    """The data of a run's page."""

    name: str
    about: Mapping[str, Any]
    config: RunConfig
    records: Sequence[RoundRecord]
    """Whole rounds, rising; the first is round 0."""
    passages: PassageSet
    pointer: Pointer
    certificate: Mapping[str, Any] | None = None
    measurements: Mapping[str, Any] | None = None
    """Measurements against gold labels; shown and never used."""
    notes: Sequence[str] = ()
    """What is missing or damaged."""
    activations: Float[np.ndarray, "passage layer width"] | None = field(default=None, repr=False)
    plane: PlacedPlane | None = None
    """The plane that was stored with the last page of the run."""

    @property
    def newest(self) -> RoundRecord:
        return self.records[-1]

    @property
    def first(self) -> RoundRecord:
        return self.records[0]

    @cached_property
    def claimed(self) -> Bool[np.ndarray, "passage"]:
        """The members of round 0: the pointer's claim, or a received concept."""
        inside: Bool[np.ndarray, "passage"] = self.first.concept.membership >= MEMBER
        return inside

    @cached_property
    def topic_weights(self) -> Float[np.ndarray, "passage"]:
        """q0 of the real passages, inferred again if round 0 began with a received concept."""
        if self.about.get("origin"):
            return self.pointer.weights(self.passages.texts)
        return sigmoid(self.first.concept.single)

    @cached_property
    def outcome(self) -> tuple[str, str]:
        """The state of the run: a word, and a sentence."""
        tracking, last, most = self.config.tracking, self.newest, self.config.rounds
        metrics = (metric(record, "drift") for record in self.records[1:])
        drifts = [value for value in metrics if value is not None]
        if nothing := self.first.metrics.get("no_concept"):
            return "No concept", str(nothing)
        if collapsed := last.metrics.get("collapsed"):
            return "Collapsed", f"The run collapsed in round {last.round}: {collapsed}."
        if is_still(drifts, tracking):
            return "Converged", (
                f"Drift stayed under {tracking.drift_bound} for {tracking.patience} rounds, "
                f"up to round {last.round}."
            )
        if last.round >= most:
            return "Not converged", f"All {most} rounds are done, and the concept did not converge."
        rounds = "1 round" if last.round == 1 else f"{last.round} rounds"
        return "Not finished", f"{rounds} of at most {most} are done."


def gather(store: RunStore) -> Material:
    """Everything stored of a run. Damaged rounds after round 0 are left out and named.

    Raises:
        BasinError: there is no whole round, or round 0, which holds the texts, cannot be read.
    """
    numbers = store.rounds()
    if not numbers:
        raise BasinError(
            f"{store.name} has no whole round yet, so there is nothing to show; "
            f"`basin resume {store.name}` continues it."
        )
    if numbers[0] != 0:
        raise BasinError(
            f"{store.name} has no whole round 0, which holds the texts of all rounds; restore it from a copy."
        )
    records, notes = [store.load(0)], []
    for number in numbers[1:]:
        try:
            records.append(store.load(number))
        except BasinError as damage:
            notes.append(f"Left out: {damage}")
    if gone := sorted(set(range(numbers[-1])) - set(numbers)):
        notes.append(f"Missing or damaged: round{'s' * (len(gone) > 1)} {', '.join(map(str, gone))}.")
    passages = store.load_passages()
    return Material(
        store.name,
        store.about,
        store.config,
        records,
        passages,
        store.load_pointer(),
        certificate=store.load_certificate(),
        measurements=_measurements(store.path),
        notes=notes,
        plane=load_plane(store.path, len(passages.passages)),
    )


def _measurements(run: Path) -> dict[str, Any] | None:
    """The stored measurements against gold labels; None if there are none, or they are damaged."""
    try:
        rounds, rows = read_rows(run)
    except DamagedError:
        return None
    return {"rounds": rounds, "rows": rows} if rows else None
