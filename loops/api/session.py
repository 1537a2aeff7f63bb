"""One session of a run, from the lock to the page: what `basin run`, `basin resume` and `Run` share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from agent.progress import begin_stage

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore

logger = logging.getLogger(__name__)


def work_on(store: RunStore, message: str, console: Console, until: int | None = None) -> None:
    """Run rounds, then measure, draw and report.

    Args:
        message: logged first, before slow imports.
        until: the last round, run even if the concept is still before; by default as configured.

    Raises:
        BasinError: another process writes to the run, or as `loops.round.context.open_context` and `loops.refine.refine`.
    """
    from loops.monitor.loggers import require_loggers
    from loops.monitor.progress import show_progress

    with store.exclusive(), show_progress(console, store.path / "run.log"):
        logger.info(message)
        from loops.refine import refine
        from loops.report.make import ReportPage, run_watchers
        from loops.report.terminal import report_run
        from loops.round.context import open_context

        require_loggers(store.config.logging)
        context = open_context(store)
        with run_watchers(store, context) as watchers:
            refine(context, store, until, watchers)
        begin_stage(max(store.rounds(), default=0), "measure")
        report_run(store, console, context.real.activations)
        if page := ReportPage(store, context).finish():
            console.print(f"Page: {escape(str(page))}", soft_wrap=True, highlight=False)


def rounds_kept(store: RunStore) -> str:
    """The rounds that an interrupted run still has, as a clause."""
    return f"{len(store.rounds())} whole rounds are kept"
