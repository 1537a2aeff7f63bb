"""The watchers of a run: its loggers and its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loops.checkpoint.store import RunStore
from loops.monitor.loggers import Logs, open_logs
from loops.records import RoundRecord, Watcher
from loops.report.make import ReportPage
from loops.round.context import RunContext


@dataclass(frozen=True)
class _Logging:
    logs: Logs

    def begin(self, rounds: Sequence[RoundRecord]) -> None:
        self.logs.keep(rounds)

    def round_done(self, rounds: Sequence[RoundRecord]) -> None:
        self.logs.keep(rounds)


@contextmanager
def run_watchers(store: RunStore, context: RunContext) -> Iterator[tuple[Watcher, ...]]:
    """The loggers that the configuration names, closed in the end, and the page."""
    with open_logs(store) as logs:
        yield _Logging(logs), ReportPage(store, context)
