"""Turn SIGTERM and SIGHUP into a clean shutdown, and keep running when the terminal closes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A file took only part of the output; after other errors nobody reads it any more."""
NARROWEST = 10
"""Columns."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status that a shell expects: 128 plus the signal's number."""
    return 128 + (stop.number if isinstance(stop, Terminated) else signal.SIGINT)


@contextmanager
def clean_shutdown() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP; a second signal ends the process at once.

    Signals that are ignored, as under nohup, stay ignored.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)
        raise Terminated(number)

    caught = [each for each in SIGNALS if signal.getsignal(each) == signal.SIG_DFL]
    for each in caught:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)


class DetachedStream:
    """A text stream that discards output once its terminal or reader is gone, or its disk is full."""

    def __init__(self, stream: TextIO | None) -> None:
        # Python gives None for a stream that was closed before it started.
        self.stream: TextIO = stream or open(os.devnull, "w")  # noqa: SIM115
        self.gone = False
        self.lost: str | None = None
        """Why a file is incomplete; None for one that is whole."""
        if hasattr(self.stream, "reconfigure"):
            # A letter that the terminal lacks must not end the work.
            self.stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except (OSError, ValueError) as error:
            self._detach(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._detach(error)

    def _detach(self, error: Exception) -> None:
        # Python would report buffered output that it cannot write at exit, so it goes to /dev/null.
        self.gone = True
        if isinstance(error, OSError) and error.errno in FULL:
            self.lost = error.strerror
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def detach_output() -> None:
    """Let standard output and error outlive their terminal, and ignore a width that shows no text."""
    sys.stdout, sys.stderr = DetachedStream(sys.stdout), DetachedStream(sys.stderr)
    width = os.environ.get("COLUMNS", "")
    if width.isdigit() and int(width) < NARROWEST:  # a terminal without a size exports 0
        del os.environ["COLUMNS"]


def lost_output() -> str | None:
    """Why a file that standard output goes to is incomplete; None if it is whole."""
    sys.stdout.flush()
    return getattr(sys.stdout, "lost", None)
