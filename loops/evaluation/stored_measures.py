"""Reads the measurements that `basin measure` writes beside the rounds, without what computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.files.checked import DamagedError
from loops.checkpoint import fields as check
from loops.checkpoint.schema import read_sealed

MEASUREMENTS = "measurements.json"
SHOWN = ("ap_topic", "ap_topic_pooled", "ap_ceiling", "ap_ceiling_pooled", "ap_concept", "ap_concept_pooled")
SHOWN_LATER = ("pgr_single", "pgr_pooled")

Row = dict[str, Any]


def read_rows(run: Path) -> tuple[list[int], list[Row]]:
    """The measured rounds, and a row for each of them and each reading of the gold labels.

    Raises:
        DamagedError: the file is missing or damaged, or a row lacks a column.
    """
    tree = read_sealed(run, MEASUREMENTS)
    rounds, rows = tree.get("rounds"), tree.get("rows")
    if not isinstance(rounds, list) or not all(map(check.is_whole, rounds)):
        raise DamagedError(f"{MEASUREMENTS} does not say which rounds it is of")
    if not isinstance(rows, list):
        raise DamagedError(f"{MEASUREMENTS} has no rows")
    for row in rows:
        check.table_of(row, check.is_plain, MEASUREMENTS)
        if not (check.is_text(row.get("concept")) and check.is_whole(row.get("round"))):
            raise DamagedError(f"{MEASUREMENTS} has a row of no concept or no round")
        missing = [name for name in (*SHOWN, *SHOWN_LATER) if name not in row]
        if missing:
            raise DamagedError(f"{MEASUREMENTS} has a row without {missing[0]}")
    return rounds, rows
