"""`basin watch`: a live view of a run that another process writes; ends with the run, leaves at q or Ctrl-C."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from loops.cli.arguments import RunName

if TYPE_CHECKING:
    from loops.monitor.follow import Seen, Watcher
logger = logging.getLogger(__name__)

LEAVES = "q leaves, the run goes on"
SECONDS_BETWEEN_COUNTS = 20


def watch_command(
    run: RunName,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Watch a run that is being written, by another process too: rounds, drift, the stage in hand, passages, log."""
    from loops.checkpoint.find import find_run
    from loops.monitor.follow import Watcher
    from loops.monitor.watch_view import frame, state

    watcher, console = Watcher(find_run(run)), Console()
    if once:
        seen = watcher.look()
        console.print(frame(seen, console))
    elif console.is_terminal:
        seen = _live(watcher, console, every)
        console.print(frame(seen, console) if not seen.alive else state(seen))
    else:
        seen = _lines(watcher, console, every)
    if not (seen.alive or seen.over):
        raise typer.Exit(1)  # so that a script can tell a run that died from one that ended


def _live(watcher: Watcher, console: Console, every: float) -> Seen:
    """On a screen of its own until the run ends or somebody leaves."""
    from rich.live import Live

    from loops.monitor.watch_view import frame

    seen = watcher.look()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while seen.alive:
                live.update(frame(seen, console, LEAVES), refresh=True)
                if pressed(every):
                    break
                seen = watcher.look()
        except KeyboardInterrupt:
            pass
    return seen


def _lines(watcher: Watcher, console: Console, every: float) -> Seen:
    """For pipes and logs: what is there, then what is new as it comes."""
    from loops.monitor.watch_view import count_sentence, round_sentence, state

    seen = watcher.look()
    logger.info(console, f"{seen.name}: {state(seen)}")
    rounds, logged, counted = 0, len(seen.log), 0.0
    while True:
        for each in seen.rounds[rounds:]:
            logger.info(console, round_sentence(each))
        rounds = len(seen.rounds)
        for clock, text in seen.log[logged:] if logged <= len(seen.log) else ():
            logger.info(console, f"{clock} {text}")
        logged = len(seen.log)
        if not seen.alive:
            logger.info(console, str(state(seen)))
            return seen
        sentence = count_sentence(seen)
        if sentence and time.monotonic() - counted > SECONDS_BETWEEN_COUNTS:
            counted = time.monotonic()
            logger.info(console, sentence)
        if getattr(sys.stdout, "gone", False):
            return seen  # as `basin watch brown | head`
        time.sleep(every)
        seen = watcher.look()


def say(console: Console, text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits some seconds for a key and tells whether it was one that leaves."""
    try:
        import termios
        import tty

        terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
        before = termios.tcgetattr(terminal) if terminal is not None else None
    except (ImportError, OSError, ValueError):
        terminal = before = None
    if terminal is None:
        yield lambda seconds: bool(time.sleep(seconds))
        return

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select([terminal], [], [], seconds)
        typed = os.read(terminal, 64) if ready else b"-"
        return typed in (b"", b"\x1b") or b"q" in typed.lower()  # an arrow key begins with an escape, too

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
