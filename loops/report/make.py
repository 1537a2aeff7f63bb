"""Write a run's HTML page: on demand (`basin report`), and after every round of a run."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import first_sentence
from loops.checkpoint.store import RunStore
from loops.monitor.loggers import RunLoggers, require_loggers
from loops.report import page
from loops.report.page import write
from loops.report.run_page.material import Material, gather
from loops.report.run_page.page import run_page
from loops.report.run_page.plane import material_plane
from loops.report.run_page.stored import save_plane

if TYPE_CHECKING:
    from loops.records import RoundRecord, Watcher
    from loops.round.context import RunContext
logger = logging.getLogger(__name__)

FILE = "report.html"


@dataclass(frozen=True)
class Made:
    """A page on disk."""

    path: Path
    megabytes: float
    sentences: Sequence[str] = ()
    """What the page leaves out, and why."""

    def open(self) -> bool:
        """Open the page in a browser; return False without one."""
        return webbrowser.open(self.path.resolve().as_uri())


def make_report(store: RunStore, out: Path | None = None) -> Made:
    """Write the page of a run, by default beside its rounds.

    Raises `BasinError` where there is nothing to show, or the file cannot be written.
    """
    page.obtain()
    material = gather(store)
    sentences = [*material.notes]
    if material.newest.concept.readout is not None and material.plane is None:
        sentences.append("The run stored no plane with its page, so there is no map.")
    return replace(_write(material, store.path, out), sentences=sentences)


@dataclass(frozen=True)
class ReportPage:
    """A watcher that refreshes the run's page; a page that cannot be written never stops a run.

    It does nothing if `report.refresh` is off.
    """

    store: RunStore
    context: RunContext

    def begin(self, rounds: Sequence[RoundRecord]) -> None:
        """Write the page of the rounds that exist when the run starts or resumes."""
        self.round_done(rounds)

    def round_done(self, rounds: Sequence[RoundRecord]) -> None:
        """Write the page again, without gold labels."""
        store, context = self.store, self.context
        if not store.config.report.refresh or not rounds:
            return
        try:
            material = Material(
                store.name,
                store.about,
                store.config,
                rounds,
                context.passages,
                context.pointer,
                certificate=store.load_certificate(),
                activations=context.real.activations,
            )
            _write(material, store.path, None)
        except Exception as error:
            _log_failure(error)

    def finish(self) -> Path | None:
        """Write the last page; None if the page is off or failed."""
        if not self.store.config.report.refresh:
            return None
        try:
            page.obtain()
            material = replace(gather(self.store), activations=self.context.real.activations)
            return _write(material, self.store.path, None).path
        except Exception as error:
            _log_failure(error)
            return None


@contextmanager
def run_watchers(store: RunStore, context: RunContext) -> Iterator[tuple[Watcher, ...]]:
    """Yield the loggers that the configuration names, closed at the end, and the page."""
    require_loggers(store.config.logging)
    with RunLoggers(store) as loggers:
        yield loggers, ReportPage(store, context)


def _write(material: Material, run: Path, out: Path | None) -> Made:
    """Write the page, and the plane of its map beside the rounds."""
    plane = material_plane(material)
    path = out or run / FILE
    size = write(run_page(material, plane), path)
    if plane is not None and material.activations is not None:
        save_plane(run, plane)
    return Made(path, size / 1e6)


def _log_failure(error: Exception) -> None:
    """Log any failure of the page: rounds are worth more than their picture."""
    logger.info(f"The page could not be written ({first_sentence(error)}); `basin report` tries again.")
