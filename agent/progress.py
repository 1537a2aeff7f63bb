"""Counted work, reported as log records that a handler may draw as bars.

A message is an ordinary log record. A count carries `record.count`, a new stage of a round carries `record.stage`, so a
handler never has to read numbers out of a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Count:
    """How far one piece of work is."""

    name: str
    done: int
    total: int | None
    """None where only the time is known."""
    finished: bool


def advance(name: str, done: int, total: int, unit: str = "") -> None:
    """Report that `done` of `total` units of a piece of work are finished; the last call ends it."""
    count = Count(name, done, total, done >= total)
    logger.info("%s: %d of %d %s", name, done, total, unit, extra={"count": count})


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Report work that cannot be counted, from its beginning to its end."""
    logger.info("%s", name, extra={"count": Count(name, 0, None, False)})
    try:
        yield
    finally:
        logger.info("%s", name, extra={"count": Count(name, 0, None, True)})


def begin_stage(round_number: int, stage: str) -> None:
    """Report which stage of which round begins."""
    logger.info("round %d: %s", round_number, stage, extra={"stage": (round_number, stage)})
