"""Show log records as progress bars or lines, and write them to run.log and progress.json."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agent.errors import first_sentence, printable
from agent.progress import Count
from loops.checkpoint.atomic import appendable
from loops.monitor.follow import FINISHED, STATUS, STOPPED, StatusFile

SECONDS_BETWEEN_LINES = 20
PACKAGES = ("agent", "loops")
"""Loggers whose records are shown."""


class ProgressHandler(logging.Handler):
    """Shows messages as lines, and counts as bars, or off a terminal as a line every 20 seconds.

    Messages and finished counts also go to `log`, the current state to `status`.
    """

    def __init__(self, console: Console, log: logging.Handler, status: StatusFile) -> None:
        super().__init__(logging.INFO)
        self.console, self.log, self.status = console, log, status
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        self.bars = Progress(
            *(*columns, TimeElapsedColumn(), TimeRemainingColumn()),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, Task] = {}
        self.shown = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if (count := getattr(record, "count", None)) is not None:
            self._count(count)
        elif (stage := getattr(record, "stage", None)) is not None:
            self.status.update(at_once=True, round=stage[0], part=stage[1])
        else:
            self.log.handle(record)
            self._line(record.getMessage())

    def _count(self, count: Count) -> None:
        if count.name not in self.tasks:
            number = self.bars.add_task(count.name, total=count.total)
            self.tasks[count.name] = self.bars.tasks[self.bars.task_ids.index(number)]
            self.shown = time.monotonic()
        task = self.tasks[count.name]
        self.bars.update(task.id, completed=count.done, total=count.total)
        sentence, seconds = _sentence(task), task.elapsed or 0.0
        if count.finished:
            del self.tasks[count.name]
            self.bars.remove_task(task.id)
            self.log.handle(_record(sentence))
            if seconds > (5 if self.console.is_terminal else 1):
                self._line(sentence)
        elif not self.console.is_terminal and time.monotonic() - self.shown > SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            self._line(sentence)
        self.status.update(counts=[_sentence(task) for task in self.tasks.values()])

    def _line(self, text: str) -> None:
        self.console.print(escape(printable(text)), highlight=False)


@contextmanager
def show_progress(console: Console, log: Path | None = None) -> Iterator[None]:
    """Show the project's log records on `console` while the context is open.

    Args:
        log: a file that messages are appended to, with their time. progress.json beside it holds
            the current state, and finally how the work ended.
    """
    file, status = _log_file(log), StatusFile(log and log.with_name(STATUS))
    status.update(ended=None)
    handler = ProgressHandler(console, file, status)
    ended = STOPPED
    try:
        with handler.bars if console.is_terminal else nullcontext(), _attached(handler):
            yield
        ended = FINISHED
    except Exception as error:
        ended = f"failed: {first_sentence(error)}"
        raise
    finally:
        status.update(at_once=True, ended=ended)
        with suppress(OSError):  # the disk may be full
            file.close()


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in PACKAGES]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.INFO)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)


def _sentence(task: Task) -> str:
    """A count in words, with an estimate of the time left."""
    seconds, done, total = task.elapsed or 0.0, task.completed, task.total
    counted = f": {done:.0f} of {total:.0f}" if total else ""
    if total and 0 < done < total:
        return f"{task.description}{counted}, about {duration(seconds / done * (total - done))} left"
    return f"{task.description}{counted}, {duration(seconds)}"


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.INFO, __file__, 0, message, None, None)


def _log_file(log: Path | None) -> logging.Handler:
    """Return the log's handler; a log that cannot be written must not end the work."""
    if log is None:
        return logging.NullHandler()
    try:
        handler = logging.FileHandler(appendable(log), encoding="utf-8")
    except OSError:
        return logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    return handler


def duration(seconds: float) -> str:
    """Return seconds in words, such as `45 s`, `12 min` or `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
