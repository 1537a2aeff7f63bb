"""Plain tables for the terminal and for log files."""

from __future__ import annotations

from typing import Any

from rich.table import Table

FRAME: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0), "header_style": "dim"}


def plain_table(*columns: str) -> Table:
    """A table without borders; the first column is left-aligned, the others right-aligned."""
    table = Table(**FRAME)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table
