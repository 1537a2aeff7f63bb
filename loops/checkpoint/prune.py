"""`basin prune`: remove the large files of old rounds; their metrics and memberships stay.

Texts, activations, vectors and adapters go. Later commands need only metrics and memberships of
every round, so a pruned run resumes to the same bytes.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import BasinError, writing
from agent.files.checked import DamagedError
from agent.steering.gate import PLAIN
from loops.checkpoint import atomic, encode
from loops.checkpoint.round_folders import PRUNED, folder_name, read_header
from loops.checkpoint.schema import SCHEMA
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord

logger = logging.getLogger(__name__)

BEST = {"agreement": 1, "coherence": 1, "redundancy_share": 1, "drift": -1}
"""Metrics that `best` may rank by, and the sign of better. None uses a gold label."""
RULE = re.compile(r"(?:(last|every)(?::|=)(\d{1,6})|best(?::([a-z_]+))?|(\d{1,6}))")


@dataclass(frozen=True)
class Cut:
    """A round to prune, with its size in bytes now and afterwards."""

    number: int
    bytes: int
    left: int


@dataclass(frozen=True)
class Plan:
    """The rounds to prune."""

    kept: dict[int, str]
    """Rounds that stay whole, and why."""
    cuts: list[Cut]

    @property
    def freed(self) -> int:
        return sum(cut.bytes - cut.left for cut in self.cuts)


def plan(store: RunStore, rules: Sequence[str]) -> Plan:
    """Choose the rounds to prune, without changing anything.

    Args:
        rules: `last:3`, `every:5`, `best`, `best:coherence` or a round's number. A round stays
            whole if any rule names it. Round 0 and the two newest always stay.

    Raises:
        BasinError: a rule is invalid, or a round is damaged.
    """
    numbers = store.rounds()
    if not numbers:
        raise BasinError(f"{store.name} has no whole round, so there is nothing to prune.")
    records = {number: store.load(number) for number in numbers}
    if 0 not in records:
        raise BasinError(
            f"{store.name} has no whole round 0, which all others depend on; put it back before pruning."
        )
    kept = {0: "all others depend on it", numbers[-1]: "the newest"}
    if len(numbers) > 1:
        kept.setdefault(numbers[-2], "in case the newest is damaged")
    for rule in rules:
        for number in _chosen(rule, numbers, records):
            kept.setdefault(number, rule)
    cuts = [
        Cut(number, _size(store.path / folder_name(number)), sum(map(len, _slim_files(record).values())))
        for number, record in records.items()
        if number not in kept
    ]
    return Plan(dict(sorted(kept.items())), cuts)


def prune(store: RunStore, found: Plan) -> None:
    """Carry out a plan; hold `exclusive`. The next prune completes an interrupted one.

    Raises:
        BasinError: a round cannot be written or removed; unpruned rounds stay whole.
    """
    atomic.remove_drafts(store.path)
    for cut in found.cuts:
        whole, kept = (store.path / folder_name(cut.number, *kind) for kind in ((), (PRUNED,)))
        with writing(kept, f"round {cut.number} stays whole: make room, then prune again"):
            shutil.rmtree(kept, ignore_errors=True)  # of an interrupted prune
            files, header = _slim_files(store.load(cut.number)), _header(store, cut.number)
            atomic.write_folder(kept, files, header)
            # Renamed first: a half-removed folder would look like a damaged round.
            gone = whole.with_name(f".{whole.name}.tmp-{os.getpid()}")
            os.rename(whole, gone)
            shutil.rmtree(gone, ignore_errors=True)
        freed, left = format_bytes(cut.bytes - cut.left), format_bytes(cut.left)
        logger.info(f"Round {cut.number}: {freed} freed, {left} kept.")


def format_bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _slim_files(record: RoundRecord) -> dict[str, bytes]:
    """The files of a pruned round: metrics, cost and memberships."""
    concept = replace(record.concept, evidence=None, readout=None, vector=None, adapter=None, mode=PLAIN)
    slim = replace(record, concept=concept, generated=(), activations=None, exchange=None)
    return encode.encode_round(slim)


def _chosen(rule: str, numbers: Sequence[int], records: dict[int, RoundRecord]) -> list[int]:
    match = RULE.fullmatch(rule.strip())
    if match is None:
        raise BasinError(
            f"--keep {rule[:40]!r} is no rule: write last:3, every:5, best, best:coherence, or the number of a round."
        )
    kind, count, by, number = match[1], match[2], match[3] or "agreement", match[4]
    if number is not None:
        if int(number) not in records:
            raise BasinError(f"--keep {rule}: there is no whole round {number}.")
        return [int(number)]
    if kind is None:
        return _best(by, records)
    if int(count) == 0:
        raise BasinError(f"--keep {rule}: write a number of at least 1.")
    if kind == "last":
        return list(numbers[-int(count) :])
    return [each for each in numbers if each % int(count) == 0]


def _best(by: str, records: dict[int, RoundRecord]) -> list[int]:
    if by not in BEST:
        raise BasinError(f"--keep best:{by[:40]} is no metric to rank by; choose one of {', '.join(BEST)}.")
    values = {
        number: float(value) * BEST[by]
        for number, record in records.items()
        if number and (value := record.metrics.get(by)) is not None
    }
    if not values:
        raise BasinError(f"--keep best:{by}: no round has this metric; keep by last or every.")
    return [max(values, key=lambda number: (values[number], number))]


def _header(store: RunStore, number: int) -> dict[str, object]:
    try:
        header = read_header(store.path, number)
    except DamagedError as damage:
        raise BasinError(
            f"Round {number} of {store.name} is damaged ({damage}); resume the run before pruning it."
        ) from None
    pruned = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "manifest": header.digest,
        "files": {name: entry["bytes"] for name, entry in sorted(header.files.items())},
    }
    return {"schema": SCHEMA, "round": number, "follows": header.follows, "pruned": pruned}


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
