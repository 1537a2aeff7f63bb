"""`basin prune`: rounds that nobody goes back to give their room back; their numbers and memberships stay.

A round is large for what it wrote and what it wrote with: activations, texts, vectors, adapters. What later commands need of
every round is small: its numbers for curves and for telling when a run is still, its memberships for what changed hands, for
precision against gold labels and for the certificate. So a pruned run is measured, shown and gone on with to the same bits.
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

from agent.errors import BasinError
from agent.files.checked import DamagedError
from agent.steering.gate import PLAIN
from loops.checkpoint import atomic, encode
from loops.checkpoint.round_folders import PRUNED, folder_name, read_header
from loops.checkpoint.schema import SCHEMA
from loops.checkpoint.store import RunStore
from loops.records import RoundRecord

logger = logging.getLogger(__name__)

BEST = {"agreement": 1, "coherence": 1, "redundancy_share": 1, "drift": -1}
"""Numbers of a round that `best` goes by, and whether more of them is better. None of them knows a gold label."""
RULE = re.compile(r"(?:(last|every)(?::|=)(\d{1,6})|best(?::([a-z_]+))?|(\d{1,6}))")


@dataclass(frozen=True)
class Cut:
    """One round that is to be pruned."""

    number: int
    bytes: int
    """What it takes up now."""
    left: int
    """What is kept of it."""


@dataclass(frozen=True)
class Plan:
    """What pruning would do."""

    kept: dict[int, str]
    """Rounds that stay whole, and why."""
    cuts: list[Cut]

    @property
    def freed(self) -> int:
        return sum(cut.bytes - cut.left for cut in self.cuts)


def plan(store: RunStore, rules: Sequence[str]) -> Plan:
    """Which rounds stay by the rules, and what the others give back. Nothing is changed.

    Args:
        rules: `last:3`, `every:5`, `best` or `best:coherence`, or a round's number; a round stays if any of them says so.
            Round 0 and the newest whole round always stay, and so does the one before it, as long as it is whole: should the
            newest turn out damaged one day, the run goes on from there.

    Raises:
        BasinError: a rule that is none, or the newest round or round 0 is damaged.
    """
    numbers = store.rounds()
    if not numbers:
        raise BasinError(f"{store.name} has no whole round, so there is nothing to prune.")
    records = {
        number: store.load(number) for number in numbers
    }  # what is damaged is told before anything goes
    if 0 not in records:
        raise BasinError(
            f"{store.name} has no whole round 0, which all others stand on; put it back before pruning."
        )
    kept = {0: "all others stand on it", numbers[-1]: "the newest"}
    if len(numbers) > 1:
        kept.setdefault(numbers[-2], "should the newest be damaged")
    for rule in rules:
        for number in _chosen(rule, numbers, records):
            kept.setdefault(number, rule)
    cuts = [_cut(store, records[number]) for number in numbers if number not in kept]
    return Plan(dict(sorted(kept.items())), cuts)


def prune(store: RunStore, found: Plan) -> None:
    """Carry out a plan; only for the process that holds `exclusive`. A prune that is stopped is finished by the next one.

    Raises:
        BasinError: what is kept cannot be written, or a round cannot be removed; whatever is not pruned by then is whole.
    """
    atomic.remove_drafts(store.path)
    for cut in found.cuts:
        whole, kept = (store.path / folder_name(cut.number, *kind) for kind in ((), (PRUNED,)))
        try:
            shutil.rmtree(kept, ignore_errors=True)  # of a prune that was stopped
            record, header = store.load(cut.number), _header(store, cut.number)
            atomic.write_folder(kept, encode.encode_round(slim(record)), header)
            # Renamed first: a folder that is half removed must not be taken for a damaged round.
            gone = whole.with_name(f".{whole.name}.tmp-{os.getpid()}")
            os.rename(whole, gone)
            shutil.rmtree(gone, ignore_errors=True)
        except OSError as error:
            raise BasinError(
                f"Round {cut.number} of {store.name} could not be pruned ({error.strerror}); what is left is whole."
            ) from None
        logger.info(
            f"Round {cut.number}: {size_told(cut.bytes - cut.left)} given back, {size_told(cut.left)} kept."
        )


def slim(record: RoundRecord) -> RoundRecord:
    """What stays of a round: its numbers, what it cost, and its memberships."""
    concept = replace(record.concept, evidence=None, readout=None, vector=None, adapter=None, mode=PLAIN)
    return replace(record, concept=concept, generated=(), activations=None, exchange=None)


def size_told(count: int) -> str:
    """Bytes in words."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


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
    return (
        list(numbers[-int(count) :])
        if kind == "last"
        else [each for each in numbers if each % int(count) == 0]
    )


def _best(by: str, records: dict[int, RoundRecord]) -> list[int]:
    if by not in BEST:
        raise BasinError(
            f"--keep best:{by[:40]}: rounds are not compared by that; choose one of {', '.join(BEST)}."
        )
    told = {
        number: float(value) * BEST[by]
        for number, record in records.items()
        if number and (value := record.metrics.get(by)) is not None
    }
    if not told:
        raise BasinError(f"--keep best:{by}: no round says its {by}; keep by last or every.")
    return [max(told, key=lambda number: (told[number], number))]


def _cut(store: RunStore, record: RoundRecord) -> Cut:
    now = _size(store.path / folder_name(record.round))
    return Cut(record.round, now, sum(map(len, encode.encode_round(slim(record)).values())))


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
