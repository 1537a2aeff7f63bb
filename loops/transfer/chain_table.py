"""A chain of successors on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from loops.monitor.tables import plain_table


def show_chain(
    rows: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]], folder: Path, console: Console
) -> None:
    """Every hand-over with its checks; with gold labels also how good each link's notion is."""
    table = plain_table("hand-over to", "by", "overlap", "agree", "cosine", "rounds", "kept", "")
    for row in rows:
        overlaps = [row[key] for key in row if key.startswith("overlap_by_")]
        told = [min(overlaps) if overlaps else None, row.get("two_ways_agree")]
        table.add_row(
            escape(row["to_run"]) + (" (spoiled)" if row["planted"] else ""),
            row["by"],
            *map(_number, [*told, row.get("cosine")]),
            str(row.get("rounds", "-")),
            _number(row.get("received_kept")),
            "accepted" if row["accepted"] else "refused",
        )
    console.print(table)
    for row in rows:
        console.print(escape(row["sentence"]), highlight=False, soft_wrap=True)
    if measured:
        console.print("\nAgainst gold labels, which no link knows: average precision alone / with document")
        table = plain_table("run", "received", "at the end", "gold-trained", "topic")
        for row in measured:
            name = escape(row["run"]) + ("" if row["accepted"] else " (refused)")
            kinds = ("ap_received", "ap", "ap_ceiling", "ap_topic")
            table.add_row(
                name, *(f"{_number(row[kind])} / {_number(row[f'{kind}_pooled'])}" for kind in kinds)
            )
        console.print(table)
    console.print(f"\nChain: {escape(str(folder))}", soft_wrap=True, highlight=False)


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
