"""Check every file of a run against its manifest and the others, without changing anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import BasinError
from agent.files.checked import DamagedError, plain_folder
from loops.checkpoint import atomic
from loops.checkpoint.round_folders import FOLDER, numbered, read_header
from loops.checkpoint.schema import read_sealed
from loops.checkpoint.store import CERTIFICATE, RunStore
from loops.evaluation.ask import ANSWERS, read_answers
from loops.evaluation.stored_measures import MEASUREMENTS, read_rows

FREE = {"run.log", "report.html", "page", "progress.json", "events", ".training", "stitches", "matches"}
"""Files beside the rounds that carry no digest."""


@dataclass(frozen=True)
class Seen:
    """A round folder."""

    number: int
    kind: str
    """`whole` or `damaged`."""
    files: int
    bytes: int
    problem: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Result of a check."""

    run: str
    rounds: list[Seen]
    problems: list[str]
    """One sentence for each; empty for a whole run."""
    remarks: list[str] = field(default_factory=list)
    """Files that do not belong to the run, and rounds that were set aside."""

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(path: Path) -> Verdict:
    """Read all files of a run. Raises `BasinError` for a folder that this version cannot read as a run."""
    store = RunStore.open(path)
    problems = [store.warning] if store.warning else []
    seen = [_read(store, number) for number, _ in numbered(path)]
    problems += [f"{each.problem}" for each in seen if each.problem]
    problems += [f"Round {number} is missing." for number in _missing(seen)]
    problems += list(_beside(store))
    problems += list(_inside(path))
    problems += list(_strange(path))
    return Verdict(store.name, seen, problems, list(_left_over(path)))


def _read(store: RunStore, number: int) -> Seen:
    try:
        files = read_header(store.path, number).files
        count, size = len(files), sum(entry["bytes"] for entry in files.values())
        store.load(number)
        if number == 0:
            store.load_passages()
            store.load_pointer()
    except DamagedError as damage:
        return Seen(number, "damaged", 0, 0, f"Round {number} is damaged ({damage}).")
    except BasinError as error:
        return Seen(number, "damaged", count, size, str(error))
    return Seen(number, "whole", count, size)


def _missing(seen: list[Seen]) -> list[int]:
    have = {each.number for each in seen}
    return [number for number in range(max(have, default=-1)) if number not in have][:100]


def _beside(store: RunStore) -> Iterator[str]:
    """Check certificate, measurements and answers."""
    for name in (CERTIFICATE, MEASUREMENTS, ANSWERS):
        if os.path.lexists(store.path / name):
            try:
                read_sealed(store.path, name)
                if name == MEASUREMENTS:
                    read_rows(store.path)
                if name == ANSWERS:
                    read_answers(store.path)
            except DamagedError as damage:
                yield f"{store.name}: {damage}."


def _inside(path: Path) -> Iterator[str]:
    """Check results of `basin stitch` and `basin match`."""
    from loops.transfer.stitch import STITCHES, TABLE, check_stitch  # loads what stitches

    for name in ("matches/*.json", f"{STITCHES}/*/{TABLE}", f"{STITCHES}/*/measured.json"):
        for file in sorted(path.glob(name)):
            relative = file.relative_to(path).as_posix()
            try:
                read_sealed(path, relative)
                if file.name == TABLE:
                    check_stitch(file.parent)
            except DamagedError as damage:
                yield f"{relative} is not whole: {damage}."


def _strange(path: Path) -> Iterator[str]:
    """Find links and devices anywhere, and files of a round that its manifest does not name."""
    for parent, inner, files in os.walk(path, followlinks=False):
        inner.sort()
        for name in sorted([*inner, *files]):
            mode = os.lstat(Path(parent, name)).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                what = "a link" if stat.S_ISLNK(mode) else "no plain file"
                yield f"{Path(parent, name).relative_to(path)} is {what}, which no run has."
    for folder in path.iterdir():
        match = FOLDER.fullmatch(folder.name)
        if match and plain_folder(folder):
            try:
                named = {*read_header(path, int(match[1])).files, atomic.MANIFEST}
            except DamagedError:
                continue
            there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
            for name in sorted(there - named):
                yield f"{folder.name}/{name} is not in the manifest and is never read."


def _left_over(path: Path) -> Iterator[str]:
    known = {"run.json", CERTIFICATE, MEASUREMENTS, ANSWERS, *FREE}
    for name in sorted(os.listdir(path)):
        if name.startswith("damaged_"):
            yield f"{name} was set aside; delete it if you do not need it."
        elif name.startswith(".") and ".tmp-" in name:
            yield f"{name} is a draft of a stopped process; `basin resume` removes it."
        elif name not in known and not FOLDER.fullmatch(name):
            yield f"{name} is not a file of Basin."
