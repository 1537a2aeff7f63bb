"""What the page of a run is made of, gathered from what is stored; what is missing or damaged is told in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from agent.basin.tracking import Exchange, exchanged, is_still
from agent.concept import MEMBER
from agent.errors import BasinError
from agent.files.checked import DamagedError
from agent.language_model.activation_cache import find_recorded
from agent.membership.log_odds import sigmoid
from agent.pointer.lda import Pointer
from agent.types import PassageSet
from loops.checkpoint.store import RunStore
from loops.config import RunConfig
from loops.evaluation.stored_measures import read_rows
from loops.records import RoundRecord
from loops.report.run_page.kept import KeptPlane, Tokens, load_plane, load_tokens, readout_digest

SAME_MODEL = 0.6
"""Correlation of what the readout makes of recorded activations with what the run kept of it, from which they are its own:
the one was fitted on all documents and the other on other documents than the read one, so they are not equal."""


@dataclass(frozen=True)
class Material:
    """A run as a page needs it."""

    name: str
    about: Mapping[str, Any]
    config: RunConfig
    records: Sequence[RoundRecord]
    """Whole rounds, rising; the first is round 0."""
    passages: PassageSet
    pointer: Pointer
    certificate: Mapping[str, Any] | None = None
    measurements: Mapping[str, Any] | None = None
    """What gold labels say of the rounds; only ever shown."""
    notes: Sequence[str] = ()
    """What is missing or damaged."""
    activations: Float[np.ndarray, "passage layer width"] | None = field(default=None, repr=False)
    plane: KeptPlane | None = None
    """Where the real passages were, as it was kept when their activations were at hand."""
    tokens: Tokens | None = None

    @property
    def newest(self) -> RoundRecord:
        return self.records[-1]

    @property
    def first(self) -> RoundRecord:
        return self.records[0]

    @cached_property
    def claimed(self) -> Bool[np.ndarray, "passage"]:
        """What the run began with: the topic's claim, or what was received."""
        return self.first.concept.membership >= MEMBER

    @cached_property
    def topic_weights(self) -> Float[np.ndarray, "passage"]:
        """q0 of the real passages: what round 0 began with, or read anew where it began with something else."""
        if self.about.get("origin"):
            return self.pointer.weights(self.passages.texts)
        return sigmoid(self.first.concept.single)

    @cached_property
    def exchanges(self) -> list[Exchange | None]:
        """What changed hands in every round; worked out where it was not kept, since the last round that there is."""
        ids = [passage.id for passage in self.passages.passages]
        found: list[Exchange | None] = [None]
        for before, record in zip(self.records, self.records[1:], strict=False):
            memberships = (each.concept.membership for each in (self.first, before, record))
            found.append(record.exchange or exchanged(ids, *memberships))
        return found

    @cached_property
    def outcome(self) -> tuple[str, str]:
        """How the run stands: a word, and a sentence."""
        tracking, last = self.config.tracking, self.newest
        drifts = [
            float(value) for record in self.records[1:] if (value := record.metrics.get("drift")) is not None
        ]
        if nothing := self.first.metrics.get("no_concept"):
            return "No concept", str(nothing)
        if collapsed := last.metrics.get("collapsed"):
            return "Collapsed", f"The run collapsed in round {last.round}: {collapsed}."
        if is_still(drifts, tracking):
            return (
                "Converged",
                f"Drift stayed under {tracking.drift_bound} for {tracking.patience} rounds, up to round {last.round}.",
            )
        if last.round >= self.config.rounds:
            return (
                "Not converged",
                f"All {self.config.rounds} rounds are over, and the notion had not come to rest.",
            )
        return "Not finished", f"{_rounds(last.round)} of at most {self.config.rounds} are done."


def gather(store: RunStore) -> Material:
    """Everything that is stored of a run. Damaged rounds but the first are left out, and named.

    Raises:
        BasinError: there is no whole round, or round 0, which holds the texts, cannot be read.
    """
    numbers = store.every()
    if not numbers:
        raise BasinError(
            f"{store.name} has no whole round yet, so there is nothing to show; `basin resume {store.name}` goes on with it."
        )
    if numbers[0] != 0:
        raise BasinError(
            f"{store.name} has no whole round 0, which holds the texts of all rounds; put it back from a copy."
        )
    records, notes = [store.load(0)], []
    for number in numbers[1:]:
        try:
            records.append(store.load_kept(number))
        except BasinError as damage:
            notes.append(f"Left out: {damage}")
    if gone := sorted(set(range(numbers[-1])) - set(numbers)):
        notes.append(f"Not there any more, or damaged: {_listed(gone)}.")
    material = Material(
        store.name,
        store.about,
        store.config,
        records,
        store.load_passages(),
        store.load_pointer(),
        certificate=store.load_certificate(),
        measurements=_measurements(store.path),
        notes=notes,
        tokens=load_tokens(store.path),
    )
    return with_places(material, store.path)


def with_places(material: Material, folder: Path) -> Material:
    """The same with the real passages' activations from the cache, or where these are gone with the plane that was kept."""
    readout = material.newest.concept.readout
    kept = load_plane(folder, readout_digest(readout), len(material.passages.passages))
    if kept is not None or readout is None:
        return replace(material, plane=kept)
    layers, width = readout.weights.shape
    best: tuple[float, Any] = (SAME_MODEL, None)
    for found in find_recorded(material.passages.texts, layers, width):
        alike = _alike(material, readout.evidence(found))
        if alike > best[0]:
            best = alike, found
    return replace(material, activations=best[1])


def _alike(material: Material, read: Float[np.ndarray, "passage"]) -> float:
    """Correlation with what the newest round kept of the activations' evidence; 0 where one of the two is constant."""
    kept = material.newest.concept.evidence
    if kept is None or kept.std() == 0 or read.std() == 0:
        return 0.0
    return float(np.corrcoef(kept, read)[0, 1])


def _measurements(run: Path) -> dict[str, Any] | None:
    """What was measured against gold labels, read as it is; None where there is nothing, or nothing readable."""
    try:
        rounds, rows = read_rows(run)
        return {"rounds": rounds, "rows": rows} if rows else None
    except DamagedError:
        return None


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"round {numbers[0]}"
    return f"rounds {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
