"""The watchers of a run: its loggers and its page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from loops.checkpoint.store import RunStore
from loops.monitor.loggers import RunLoggers
from loops.records import Watcher
from loops.report.make import ReportPage
from loops.round.context import RunContext


@contextmanager
def run_watchers(store: RunStore, context: RunContext) -> Iterator[tuple[Watcher, ...]]:
    """Yield the loggers that the configuration names, closed at the end, and the page."""
    with RunLoggers(store) as loggers:
        yield loggers, ReportPage(store, context)
