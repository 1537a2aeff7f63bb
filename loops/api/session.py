"""One piece of work on a run, from the lock to the page: what `basin run`, `basin resume` and `Run` have in common."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from loops.checkpoint.store import RunStore
    from loops.monitor.progress import Progress
    from loops.round.context import Fixed


def work_on(
    store: RunStore, sentence: str, work: Callable[[ModuleType, Progress], Fixed], console: Console
) -> None:
    """Run rounds with the store locked and a log, then measure, draw and report.

    `work` is handed `loops.refine`, whose import waits until the run has said that it begins.
    """
    from loops.monitor.progress import open_progress
    from loops.report.make import finish
    from loops.report.terminal import report_run

    with store.exclusive(), open_progress(console, store.path / "run.log") as progress:
        progress.say(sentence)
        from loops import refine

        fixed = work(refine, progress)
        progress.part(max(store.rounds(), default=0), "measure")
        report_run(store, console, progress.say, fixed.real.activations)
        if page := finish(store, fixed, progress.say):
            console.print(f"Page: {escape(str(page))}", soft_wrap=True, highlight=False)


def kept_sentence(store: RunStore) -> str:
    """What an interrupt leaves of a run."""
    return f"{len(store.rounds())} whole rounds are kept"
