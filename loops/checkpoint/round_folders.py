"""The round folders of a run, and the chain of hashes between them.

A round's manifest names the hash of the manifest before, so that a round of another run is not
taken for this run's.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import BasinError, writing
from agent.files.checked import DamagedError, plain_folder, read_inside
from loops.checkpoint import atomic

logger = logging.getLogger(__name__)

FOLDER = re.compile(r"round_(\d{3,9})")
CHECKED_BY_READERS = {"run.json", "certificate.json", "measurements.json", "answers.json", "progress.json"}


@dataclass(frozen=True)
class Header:
    """A round's manifest."""

    number: int
    digest: str
    """SHA-256 of the manifest."""
    follows: str | None
    """The digest of the round before; None in round 0."""
    files: Mapping[str, Mapping[str, Any]]


def folder_name(number: int) -> str:
    return f"round_{number:03d}"


def count_in_words(rounds: Sequence[int]) -> str:
    """Round numbers for a sentence: `no whole round`, `round 3`, `rounds 0 to 3`, `rounds 0, 4, 5`."""
    if not rounds:
        return "no whole round"
    if len(rounds) == rounds[-1] - rounds[0] + 1:
        return f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
    return f"rounds {', '.join(map(str, rounds))}"


def numbered(run: Path) -> list[tuple[int, Path]]:
    """(number, path) of the round folders, by rising number; contents unchecked."""
    try:
        names = os.listdir(run)
    except OSError:
        return []
    numbers = sorted(int(match[1]) for name in names if (match := FOLDER.fullmatch(name)))
    return [(number, run / folder_name(number)) for number in numbers if folder_name(number) in names]


def read_header(run: Path, number: int) -> Header:
    """A round's manifest, checked against its folder's name; raises as `atomic.read_manifest`."""
    folder = run / folder_name(number)
    tree = atomic.read_manifest(folder)
    if tree.get("round") != number or type(tree["round"]) is not int:
        raise DamagedError(f"its {atomic.MANIFEST} is that of round {tree.get('round')!r}")
    before = tree.get("follows")
    if not (before is None or isinstance(before, str)):
        raise DamagedError(f"its {atomic.MANIFEST} does not name the round before")
    content = read_inside(folder, atomic.MANIFEST, atomic.MOST_MANIFEST)
    return Header(number, hashlib.sha256(content).hexdigest(), before, tree["files"])


def read_round(run: Path, number: int) -> dict[str, bytes]:
    """The files of a round, after checking every hash and the chain to its neighbours.

    Raises:
        OtherFormatError: an older or newer version wrote it.
        DamagedError: anything is wrong.
    """
    _check_chain(run, read_header(run, number))
    return atomic.read_folder(run / folder_name(number))


def read_round_file(run: Path, number: int, name: str) -> bytes:
    """One file of a whole round; raises as `read_round`, and if the round has no such file."""
    header = read_header(run, number)
    if name not in header.files:
        raise DamagedError(f"it has no {name}")
    return atomic.read_entry(run / folder_name(number), name, header.files[name])


def follows(run: Path, number: int) -> str | None:
    """The digest of the round before a new round; None for round 0."""
    before = _neighbour(run, number - 1)
    return before.digest if before else None


def move_aside(folder: Path) -> Path:
    """Rename a damaged round's folder to `damaged_...`; raises `BasinError` if that fails."""
    attempt = 1
    while os.path.lexists(aside := folder.with_name(f"damaged_{folder.name}_{attempt}")):
        attempt += 1
    with writing(folder, "it is damaged: move it away"):
        os.rename(folder, aside)
    return aside


def refuse_links(run: Path) -> None:
    """Raise `BasinError` for a link or device beside the rounds, where logs and pages are written.

    Rounds and sealed files are left out: their readers check them.
    """
    for entry in sorted(os.scandir(run), key=lambda each: each.name):
        left_out = entry.name in CHECKED_BY_READERS or entry.name.startswith((".", "damaged_"))
        if left_out or FOLDER.fullmatch(entry.name):
            continue
        if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            kind = "a link" if entry.is_symlink() else "no plain file"
            raise BasinError(f"{run / entry.name} is {kind}, which runs never contain; move it away.")


def remove_unsafe_scratch(scratch: Path) -> None:
    """Remove a scratch folder with links inside, since training deletes unknown files there.

    Raises:
        BasinError: it cannot be removed.
    """
    if not os.path.lexists(scratch) or _is_plain(scratch):
        return
    with writing(scratch, "move it away"):
        if plain_folder(scratch):
            shutil.rmtree(scratch)  # removes links without following them
        else:
            scratch.unlink()
    logger.info(f"{scratch.name} had links or devices inside, which Basin never puts there: it was removed.")


def _check_chain(run: Path, header: Header) -> None:
    """Raise `DamagedError` if a round and a readable neighbour do not follow each other."""
    before, after = _neighbour(run, header.number - 1), _neighbour(run, header.number + 1)
    if before and header.follows and header.follows != before.digest:
        raise DamagedError(f"it does not follow round {before.number}: one of them is of another run")
    if after and after.follows and after.follows != header.digest:
        raise DamagedError(f"round {after.number} does not follow it: one of them is of another run")


def _neighbour(run: Path, number: int) -> Header | None:
    if number < 0 or not os.path.lexists(run / folder_name(number)):
        return None
    try:
        return read_header(run, number)
    except DamagedError:
        return None


def _is_plain(folder: Path) -> bool:
    if not plain_folder(folder):
        return False
    for parent, folders, files in os.walk(folder, followlinks=False):
        if not all(plain_folder(Path(parent, name)) for name in folders):
            return False
        if not all(stat.S_ISREG(os.lstat(Path(parent, name)).st_mode) for name in files):
            return False
    return True
