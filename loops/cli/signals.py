"""A command that is told to end does so as by Ctrl-C, with everything kept; one whose terminal is gone works on.

A scheduler sends SIGTERM and some seconds later SIGKILL; a terminal that hangs up sends SIGHUP, unless it is ignored (nohup),
and from then on cannot be written to. Rounds and batches are kept as they are finished, so to end is to stop.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Told(KeyboardInterrupt):
    """The process was told to end by a signal other than Ctrl-C's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_status(stop: KeyboardInterrupt) -> int:
    """What a shell expects of a process that a signal ended: 128 and its number, 130 for Ctrl-C."""
    return 128 + (stop.number if isinstance(stop, Told) else signal.SIGINT)


@contextmanager
def ends_softly() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Told` where the program is; a second one ends it at once. Ignored signals stay ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)
        raise Told(number)

    caught = {each: signal.getsignal(each) for each in SIGNALS if signal.getsignal(each) == signal.SIG_DFL}
    for each in caught:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each, before in caught.items():
            signal.signal(each, before)


class Lasting:
    """A stream for text that goes nowhere once its terminal or its reader is gone, instead of ending the work."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.gone = False
        """Whether nobody reads it any more."""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter is no reason to stop

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except (OSError, ValueError):
            self._let_go()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError):
            self._let_go()

    def _let_go(self) -> None:
        """What is still buffered goes to nowhere; else Python would complain of it when it ends."""
        self.gone = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def outlast_terminal() -> None:
    """Let what is printed by this process outlast its terminal."""
    sys.stdout, sys.stderr = Lasting(sys.stdout), Lasting(sys.stderr)
