"""Turn SIGTERM and SIGHUP into a clean shutdown, and keep running when the terminal closes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


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
    """A text stream that discards output once its terminal or reader is gone."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.gone = False
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a letter that the terminal lacks must not end the work

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except (OSError, ValueError):
            self._detach()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError):
            self._detach()

    def _detach(self) -> None:
        # Python would report buffered output that it cannot write at exit, so it goes to /dev/null.
        self.gone = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def detach_output() -> None:
    """Let standard output and error outlive their terminal."""
    sys.stdout, sys.stderr = DetachedStream(sys.stdout), DetachedStream(sys.stderr)
