"""Plain tables for the terminal and for log files, and whether figures can be drawn."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

logger = logging.getLogger(__name__)

FRAME: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0), "header_style": "dim"}


def plain_table(*columns: str) -> Table:
    """A table without borders; the first column is left-aligned, the others right-aligned."""
    table = Table(**FRAME)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], digits: int = 3) -> Table:
    """A plain table of values as `number` writes them; strings are shown as they are."""
    table = plain_table(*map(escape, columns))
    for row in rows:
        table.add_row(*(escape(each) if isinstance(each, str) else number(each, digits) for each in row))
    return table


def number(value: object, digits: int = 3) -> str:
    """A float with `digits` decimals, an integer in full, a dash for None."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def percentage(value: float | None) -> str:
    """A share in whole per cent, a dash for None."""
    return "-" if value is None else f"{value:.0%}"


def can_draw(figure: str) -> bool:
    """Return whether the extra `plots` is installed; warn that `figure` was not drawn if not."""
    if importlib.util.find_spec("matplotlib"):
        return True
    logger.warning(f"{figure} was not drawn: install matplotlib with `pip install 'basin[plots]'`.")
    return False
