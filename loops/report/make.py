"""Write a run's HTML page: on demand (`basin report`), and after every round of a run."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import BasinError, first_sentence
from loops.checkpoint.store import RunStore
from loops.monitor.loggers import RunLoggers, require_loggers
from loops.report import page
from loops.report.page import write
from loops.report.run_page.material import Material, gather
from loops.report.run_page.page import run_page
from loops.report.run_page.plane import material_plane
from loops.report.run_page.stored import load_tokens, save_plane, save_tokens
from loops.report.run_page.token_evidence import load_reader, read_tokens

if TYPE_CHECKING:
    from agent.language_model.model import LanguageModel
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


def make_report(store: RunStore, out: Path | None, tokens: bool | None) -> Made:
    """Write the page of a run, by default beside its rounds.

    Args:
        tokens: whether to read passages token by token. True reads them again and fails without the
            language model; None reads them only if the newest round was not read yet.

    Raises:
        BasinError: there is nothing to show, the file cannot be written, or as `load_reader` if
            `tokens` is True.
    """
    page.obtain()
    material, sentences = gather(store), []
    has_readout = material.newest.concept.readout is not None
    if has_readout and (tokens or (tokens is None and not material.has_newest_tokens)):
        try:
            material = _with_tokens(material, store.path, load_reader(store))
        except BasinError as error:
            if tokens:
                raise
            sentences.append(f"No passage was read token by token: {error}")
    if has_readout and material.plane is None:
        sentences.append("The run stored no plane with its page, so there is no map.")
    made = _write(material, store.path, out)
    return replace(made, sentences=[*material.notes, *sentences])


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
        """Write the page again, without gold labels and without reading tokens."""
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
                tokens=load_tokens(store.path),
            )
            _write(material, store.path, None)
        except Exception as error:
            _log_failure(error)

    def finish(self) -> Path | None:
        """Write the last page, with token readings; None if the page is off or failed."""
        config = self.store.config.report
        if not config.refresh:
            return None
        try:
            page.obtain()
            material = replace(gather(self.store), activations=self.context.real.activations)
            if config.tokens and not material.has_newest_tokens:
                try:
                    material = _with_tokens(material, self.store.path, self.context.language_model)
                except BasinError as error:
                    logger.info(f"No passage was read token by token: {error}")
                except Exception as error:
                    _log_failure(error)
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


def _with_tokens(material: Material, run: Path, language_model: LanguageModel) -> Material:
    tokens = read_tokens(material, language_model)
    if tokens is None:
        return material
    save_tokens(run, tokens)
    return replace(material, tokens=tokens)


def _log_failure(error: Exception) -> None:
    """Log any failure of the page: rounds are worth more than their picture."""
    logger.info(f"The page could not be written ({first_sentence(error)}); `basin report` tries again.")
