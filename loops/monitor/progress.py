"""Show log records as progress bars or lines, and write them to run.log and progress.json."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
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


@dataclass
class _Work:
    """One counted piece of work."""

    count: Count
    since: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since

    def sentence(self) -> str:
        count = self.count
        counted = f": {count.done} of {count.total}" if count.total else ""
        if count.total and 0 < count.done < count.total:
            left = self.seconds / count.done * (count.total - count.done)
            return f"{count.name}{counted}, about {duration(left)} left"
        return f"{count.name}{counted}, {duration(self.seconds)}"


class LineHandler(logging.Handler):
    """Shows messages as lines, and a count as a line every 20 seconds: for logs and pipes.

    Messages and finished counts also go to `log`, the current state to `status`.
    """

    def __init__(
        self, console: Console, log: logging.Handler | None = None, status: StatusFile | None = None
    ) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.log = log or logging.NullHandler()
        self.status = status or StatusFile(None)
        self.works: dict[str, _Work] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if (count := getattr(record, "count", None)) is not None:
            self._count(count)
        elif (stage := getattr(record, "stage", None)) is not None:
            self.status.update(at_once=True, round=stage[0], part=stage[1])
        else:
            self.log.handle(record)
            self.line(record.getMessage())

    def _count(self, count: Count) -> None:
        work = self.works.setdefault(count.name, _Work(count))
        work.count = count
        if count.finished:
            del self.works[count.name]
            self.log.handle(_record(work.sentence()))
            self.hide(work)
        else:
            self.show(work)
        self.status.update(counts=[each.sentence() for each in self.works.values()])

    def line(self, text: str) -> None:
        self.console.print(escape(printable(text)), highlight=False)

    def show(self, work: _Work) -> None:
        if time.monotonic() - work.shown > SECONDS_BETWEEN_LINES:
            work.shown = time.monotonic()
            self.line(work.sentence())

    def hide(self, work: _Work) -> None:
        if work.seconds > 1:
            self.line(work.sentence())


class BarHandler(LineHandler):
    """Shows counts as bars that vanish at the end; work of more than five seconds leaves a line."""

    def __init__(
        self, bars: Progress, log: logging.Handler | None = None, status: StatusFile | None = None
    ) -> None:
        super().__init__(bars.console, log, status)
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def show(self, work: _Work) -> None:
        name = work.count.name
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(escape(name), total=work.count.total)
        self.bars.update(self.tasks[name], completed=work.count.done)

    def hide(self, work: _Work) -> None:
        if (task := self.tasks.pop(work.count.name, None)) is not None:
            self.bars.remove_task(task)
        if work.seconds > 5:
            self.line(work.sentence())


@contextmanager
def show_progress(console: Console, log: Path | None = None) -> Iterator[None]:
    """Show the project's log records on `console` while the context is open.

    Args:
        log: a file that messages are appended to, with their time. progress.json beside it holds
            the current state, and finally how the work ended.
    """
    file, status = _log_file(log), StatusFile(log and log.with_name(STATUS))
    status.update(ended=None)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bars = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
    handler = BarHandler(bars, file, status) if console.is_terminal else LineHandler(console, file, status)
    ended = STOPPED
    try:
        with bars if console.is_terminal else nullcontext(), _attached(handler):
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
