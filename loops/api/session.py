"""One piece of work on a run, from the lock to the page: what `basin run`, `basin resume` and `Run` have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from agent.progress import begin_stage

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore
    from loops.round.context import RunContext
logger = logging.getLogger(__name__)


def work_on(
    store: RunStore, sentence: str, work: Callable[[ModuleType], RunContext], console: Console
) -> None:
    """Run rounds with the store locked and a log, then measure, draw and report.

    `work` is handed `loops.refine`, whose import waits until the run has said that it begins.
    """
    from loops.monitor.progress import show_progress
    from loops.report.make import finish
    from loops.report.terminal import report_run

    with store.exclusive(), show_progress(console, store.path / "run.log"):
        logger.info(sentence)
        from loops import refine

        context = work(refine)
        begin_stage(max(store.rounds(), default=0), "measure")
        report_run(store, console, context.real.activations)
        if page := finish(store, context):
            console.print(f"Page: {escape(str(page))}", soft_wrap=True, highlight=False)


def kept_sentence(store: RunStore) -> str:
    """What an interrupt leaves of a run."""
    return f"{len(store.rounds())} whole rounds are kept"
