"""Reads the measurements that `basin measure` writes beside the rounds, without what computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from agent.files.checked import DamagedError
from loops.checkpoint.fields import Plain, Stored, Whole, read
from loops.checkpoint.schema import read_sealed

MEASUREMENTS = "measurements.json"
SHOWN = ("ap_topic", "ap_topic_pooled", "ap_ceiling", "ap_ceiling_pooled", "ap_concept", "ap_concept_pooled")
SHOWN_LATER = ("pgr_single", "pgr_pooled")

Row = dict[str, Any]


class MeasuredRow(Stored):
    """A row; its other columns may be any plain value."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain]

    concept: str
    round: Whole


class Measurements(Stored):
    """The contents of measurements.json."""

    rounds: list[Whole]
    rows: list[MeasuredRow]


def read_rows(run: Path) -> tuple[list[int], list[Row]]:
    """The measured rounds, and a row for each of them and each reading of the gold labels.

    Raises:
        DamagedError: the file is missing or damaged, or a row lacks a column.
    """
    tree = read_sealed(run, MEASUREMENTS)
    read(Measurements, tree, MEASUREMENTS)
    for row in tree["rows"]:
        if missing := [name for name in (*SHOWN, *SHOWN_LATER) if name not in row]:
            raise DamagedError(f"{MEASUREMENTS} has a row without {missing[0]}")
    return tree["rounds"], tree["rows"]
