"""One input under watch: it has to be read or refused in a sentence, in time, and in little memory."""

from __future__ import annotations

import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from agent.errors import LONGEST_SENTENCE, BasinError

SECONDS = 10.0
"""What one input may take; twice that where the process waits, since it may have been kept waiting itself."""
MEGABYTES = 700
"""What one input may add to the most memory that the process ever held."""

Check = Callable[[bytes, Path], None]
"""Reads an input, from a file that it writes into the folder; raises `BasinError` to refuse it, anything else is a failure."""


class Failed(Exception):
    """An input that was not survived; `kind` is traceback, hang, memory or sentence."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


class _TooSlow(BaseException):
    """Not an Exception, so that nothing under watch takes it for one of its own."""


def survive(check: Check, content: bytes, folder: Path) -> str:
    """`read` or `refused`. Raises `Failed`."""
    before, begin = _peak(), time.process_time()
    try:
        with _alarm(SECONDS):
            check(content, folder)
        outcome = "read"
    except BasinError as error:
        _require_sentence(error)
        outcome = "refused"
    except _TooSlow:
        raise Failed("hang", f"more than {SECONDS:.0f} s") from None
    except Failed:
        raise
    except (Exception, SystemExit) as error:
        raise Failed("traceback", _place(error)) from error
    if time.process_time() - begin > SECONDS:
        raise Failed("hang", f"more than {SECONDS:.0f} s")
    if (grown := _peak() - before) > MEGABYTES:
        raise Failed("memory", f"{grown:.0f} MB")
    return outcome


def minimised(check: Check, content: bytes, folder: Path, way: str, seconds: float = 20.0) -> bytes:
    """A shorter input that fails in the same way (what is said of it begins so): parts are left out until the time is up."""
    end, size = time.monotonic() + seconds, max(len(content) // 2, 1)
    while size and time.monotonic() < end:
        at, shorter = 0, False
        while at < len(content) and time.monotonic() < end:
            tried = content[:at] + content[at + size :]
            if _fails(check, tried, folder).startswith(way):
                content, shorter = tried, True
            else:
                at += size
        if not shorter or size > len(content):
            size //= 2
    return content


def way_of(failure: Failed) -> str:
    """The kind of a failure, of a traceback with the kind of error: what is made smaller must not become another."""
    return ":".join(str(failure).split(":")[: 2 if failure.kind == "traceback" else 1])


def _fails(check: Check, content: bytes, folder: Path) -> str:
    try:
        survive(check, content, folder)
    except Failed as failure:
        return str(failure)
    return ""


def _require_sentence(error: BasinError) -> None:
    sentence = str(error)
    if not sentence.isprintable():
        raise Failed("sentence", f"not on one line: {sentence[:200]!r}")
    if not 10 < len(sentence) <= LONGEST_SENTENCE or sentence[-1] not in ".?!":
        raise Failed("sentence", f"not a sentence: {sentence[:200]!r}")


def _place(error: BaseException) -> str:
    """What was raised, and the last places of Basin's own that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/agent/" in frame.filename or "/loops/" in frame.filename]
    through = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(own[-3:]))
    return f"{type(error).__name__}: {str(error)[:120]} ({through or 'elsewhere'})"


def _peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    rung: list[int] = []

    def ring(number: int, frame: FrameType | None) -> None:
        rung.append(number)
        if len(rung) > 1:
            raise _TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    # Twice: a process that was stopped and goes on finds that its time is up, and has it once more.
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
