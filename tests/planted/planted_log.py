"""What the project logs, kept for a test to read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class Keep(logging.Handler):
    """Keeps messages and stages apart; counts are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.stages: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "stage"):
            self.stages.append(record.stage)
        elif not hasattr(record, "count"):
            self.messages.append(record.getMessage())


@contextmanager
def listening() -> Iterator[Keep]:
    """Everything logged by `agent` and `loops` while the context is open."""
    loggers, handler = [logging.getLogger(name) for name in ("agent", "loops")], Keep()
    levels = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)
