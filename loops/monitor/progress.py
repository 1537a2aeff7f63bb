"""What a long command says while it works: bars with an estimate at a terminal, else plain lines, and a log.

The parts report through a callable that takes a sentence. One that counts, `record: 120 of 976 texts`, moves
a bar instead of making a line; so `progress.say` is all that any part needs.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from agent.errors import first_sentence, printable
from loops.checkpoint.atomic import appendable
from loops.monitor.follow import STATUS, StatusFile, now

COUNT = re.compile(r"([^:]+): (?:\w+ )?(\d+) of (\d+)\b(.*)")
SECONDS_BETWEEN_LINES = 20
LOG = logging.getLogger("basin")


class Stage(Protocol):
    """One counted piece of work."""

    def advance(self, count: int = 1) -> None: ...


class Progress(Protocol):
    """Where work is reported to."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Stage]:
        """A counted piece of work; without a total only its time is told."""
        ...

    def say(self, text: str) -> None:
        """A sentence, or a count such as `NAME: 3 of 10 UNIT`."""
        ...

    def part(self, round_number: int, name: str) -> None:
        """Which part of which round begins: for those who watch, `loops.monitor.follow`."""
        ...


@dataclass
class _Count:
    name: str
    total: int | None
    moved: Callable[[_Count], None]
    done: int = 0
    since: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)

    def advance(self, count: int = 1) -> None:
        self.done += count
        self.moved(self)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since

    def numbers(self) -> dict[str, object]:
        return {"name": self.name, "done": self.done, "total": self.total, "seconds": round(self.seconds, 3)}

    def sentence(self) -> str:
        counted = f": {self.done} of {self.total}" if self.total else ""
        if self.total and 0 < self.done < self.total:
            left = self.seconds / self.done * (self.total - self.done)
            return f"{self.name}{counted}, about {duration(left)} left"
        return f"{self.name}{counted}, {duration(self.seconds)}"


class _Reporter:
    """Keeps the counts and writes the log; the subclasses show."""

    def __init__(self, console: Console, status: StatusFile | None = None) -> None:
        self.console = console
        self.status = status or StatusFile(None)
        self.counts: dict[str, _Count] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        count = self._begin(name, total)
        try:
            yield count
        finally:
            self._end(count)

    def say(self, text: str) -> None:
        if match := COUNT.fullmatch(text):
            name, done, total = match[1], int(match[2]), int(match[3])
            count = self.counts.get(name) or self._begin(name, total)
            if "," in match[4]:
                LOG.info(text)  # a count that has something else to tell
            count.advance(done - count.done)
            if done >= total:
                self._end(count)
        else:
            LOG.info(text)
            self.status.tell(said=text)
            self.line(text)

    def part(self, round_number: int, name: str) -> None:
        self.status.tell(at_once=True, round=round_number, part=name, part_since=now())

    def _begin(self, name: str, total: int | None) -> _Count:
        count = self.counts[name] = _Count(name, total, self._moved)
        self._moved(count)
        return count

    def _moved(self, count: _Count) -> None:
        self.show(count)
        self.status.tell(counts=[each.numbers() for each in self.counts.values()])

    def _end(self, count: _Count) -> None:
        if self.counts.pop(count.name, None) is None:
            return  # ended already, by its last count
        LOG.info(count.sentence())
        self.status.tell(counts=[each.numbers() for each in self.counts.values()])
        self.hide(count)

    def line(self, text: str) -> None:
        self.console.print(escape(printable(text)), highlight=False)

    def show(self, count: _Count) -> None: ...

    def hide(self, count: _Count) -> None: ...


class PlainProgress(_Reporter):
    """Lines, at most one in 20 seconds for a count: for logs and pipes."""

    def show(self, count: _Count) -> None:
        if time.monotonic() - count.shown > SECONDS_BETWEEN_LINES:
            count.shown = time.monotonic()
            self.line(count.sentence())

    def hide(self, count: _Count) -> None:
        if count.seconds > 1:
            self.line(count.sentence())


class TerminalProgress(_Reporter):
    """Bars that vanish when their work is done, leaving a line where it took a while."""

    def __init__(self, console: Console, bars: Bars, status: StatusFile | None = None) -> None:
        super().__init__(console, status)
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def show(self, count: _Count) -> None:
        if count.name not in self.tasks:
            self.tasks[count.name] = self.bars.add_task(escape(count.name), total=count.total)
        self.bars.update(self.tasks[count.name], completed=count.done)

    def hide(self, count: _Count) -> None:
        self.bars.remove_task(self.tasks.pop(count.name))
        if count.seconds > 5:
            self.line(count.sentence())


class SilentProgress(_Reporter):
    """Says nothing; for tests and for callers that only want the result."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))


@contextmanager
def open_progress(console: Console, log: Path | None = None) -> Iterator[Progress]:
    """Bars at a terminal, lines elsewhere; with `log`, all that is said is appended there with its time.

    Beside the log, progress.json says where the work is, and in the end how it ended.
    """
    handler = _log_file(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    status = StatusFile(log and log.with_name(STATUS))
    status.tell(ended=None)
    ended = "stopped"
    try:
        if not console.is_terminal:
            yield PlainProgress(console, status)
            ended = "whole"
            return
        counts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with Bars(*counts, *times, console=console, transient=True) as bars:
            yield TerminalProgress(console, bars, status)
            ended = "whole"
    except Exception as error:
        ended = f"failed: {first_sentence(error)}"
        raise
    finally:
        status.tell(at_once=True, ended=ended)
        LOG.removeHandler(handler)
        with suppress(OSError):  # the disk may be full
            handler.close()


def _log_file(log: Path | None) -> logging.Handler:
    """A log that cannot be written is no reason to stop, nor one that cannot be added to any more, as on a full disk."""
    if log is None:
        return logging.NullHandler()
    try:
        handler = logging.FileHandler(appendable(log), encoding="utf-8")
    except OSError:
        return logging.NullHandler()
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    return handler


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
