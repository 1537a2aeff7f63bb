"""The folders of a run's rounds: which there are, what binds them to each other, and their files once all of that holds.

A round's manifest names the manifest of the round before by its hash, so that a whole round of another run, or another
state of this one, does not pass for the one that belongs there. A round that was pruned leaves a folder `pruned_003` with
its numbers and memberships, and keeps its place in that chain.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from agent.files.checked import DamagedError, plain_folder, read_inside
from loops.checkpoint import atomic

logger = logging.getLogger(__name__)

WHOLE, PRUNED = "round", "pruned"
FOLDER = re.compile(r"(round|pruned)_(\d{3,9})")


@dataclass(frozen=True)
class Header:
    """What a round's manifest says beside its files."""

    number: int
    digest: str
    """SHA-256 of the manifest; for a pruned round that of the whole round it was, which later rounds name."""
    follows: str | None
    """The digest of the round before; None in round 0."""
    pruned: Mapping[str, Any] | None
    """When the round was pruned and which files went; None while it is whole."""
    files: Mapping[str, Mapping[str, Any]]


def numbered(run: Path, kind: str = WHOLE) -> list[tuple[int, Path]]:
    """Folders named as rounds of a kind, by rising number, whatever is in them."""
    try:
        entries = list(os.scandir(run))
    except OSError:
        return []
    found = []
    for entry in entries:
        match = FOLDER.fullmatch(entry.name)
        if match and match[1] == kind and entry.name == folder_name(int(match[2]), kind):
            found.append((int(match[2]), run / entry.name))
    return sorted(found)


def folder_name(number: int, kind: str = WHOLE) -> str:
    return f"{kind}_{number:03d}"


def read_header(run: Path, number: int, kind: str = WHOLE) -> Header:
    """A round's manifest, which must be that round's; raises as `folders.read_manifest`."""
    folder = run / folder_name(number, kind)
    tree = atomic.read_manifest(folder)
    follows, pruned = tree.get("follows"), tree.get("pruned")
    if tree.get("round") != number or type(tree["round"]) is not int:
        raise DamagedError(f"its {atomic.MANIFEST} is that of round {tree.get('round')!r}")
    if not (follows is None or isinstance(follows, str)):
        raise DamagedError(f"its {atomic.MANIFEST} names no round that it follows")
    digest = _digest(folder)
    if (kind == PRUNED) != isinstance(pruned, dict):
        raise DamagedError(f"its {atomic.MANIFEST} does not say whether it was pruned")
    if pruned is not None:
        digest = pruned.get("manifest")
        if not (isinstance(digest, str) and atomic.SHA256.fullmatch(digest)):
            raise DamagedError(f"its {atomic.MANIFEST} does not say what it was before it was pruned")
    return Header(number, digest, follows, pruned, tree["files"])


def read_round(run: Path, number: int, kind: str = WHOLE) -> dict[str, bytes]:
    """The files of a round, after every hash and the chain to its neighbours are checked.

    Raises:
        OtherFormatError: an older or newer version wrote it.
        DamagedError: what is wrong, as the end of a sentence.
    """
    header = read_header(run, number, kind)
    check_chain(run, header)
    return atomic.read_folder(run / folder_name(number, kind))


def read_round_file(run: Path, number: int, name: str) -> bytes:
    """One file of a whole round; raises as `read_round`, and where the round has no such file."""
    header = read_header(run, number)
    if name not in header.files:
        raise DamagedError(f"it has no {name}")
    return atomic.read_entry(run / folder_name(number), name, header.files[name])


def check_chain(run: Path, header: Header) -> None:
    """Refuse a round that does not follow the one before it, or that the one after it does not follow.

    Neighbours that are missing or damaged themselves say nothing.
    """
    before, after = (_neighbour(run, header.number + step) for step in (-1, 1))
    if before and header.follows and header.follows != before.digest:
        raise DamagedError(
            f"it does not follow the round {before.number} that is there: one of them is of another run"
        )
    if after and after.follows and after.follows != header.digest:
        raise DamagedError(
            f"the round {after.number} that is there does not follow it: one of them is of another run"
        )


def follows(run: Path, number: int) -> str | None:
    """What the manifest of a new round has to name; None for round 0."""
    before = _neighbour(run, number - 1)
    return before and before.digest


def set_aside(folder: Path) -> Path:
    """Rename a damaged round's folder to a name that nothing takes for a round; raises `BasinError` where it cannot be."""
    attempt = 1
    while os.path.lexists(aside := folder.with_name(f"damaged_{folder.name}_{attempt}")):
        attempt += 1
    try:
        os.rename(folder, aside)
    except OSError as error:
        raise BasinError(
            f"{folder} is damaged and cannot be renamed ({error.strerror}); move it away."
        ) from None
    return aside


def _neighbour(run: Path, number: int) -> Header | None:
    for kind in (WHOLE, PRUNED):
        if number >= 0 and os.path.lexists(run / folder_name(number, kind)):
            try:
                return read_header(run, number, kind)
            except DamagedError:
                continue
    return None


def _digest(folder: Path) -> str:
    content = read_inside(folder, atomic.MANIFEST, atomic.MOST_MANIFEST)
    return hashlib.sha256(content).hexdigest()


READ_WITH_CARE = {"run.json", "config.json", "certificate.json", "measurements.json", "progress.json"}


def refuse_links(run: Path) -> None:
    """Refuse a run with links or devices beside its rounds, where logs, pages and pictures are written.

    Rounds, and the files that are read with care and replaced in one step, are left to whoever reads them.

    Raises:
        BasinError: naming the first.
    """
    for entry in sorted(os.scandir(run), key=lambda each: each.name):
        if (
            entry.name in READ_WITH_CARE
            or FOLDER.fullmatch(entry.name)
            or entry.name.startswith((".", "damaged_"))
        ):
            continue
        if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            what = "a link" if entry.is_symlink() else "no plain file"
            raise BasinError(f"{run / entry.name} is {what}, and nothing of a run is; move it away.")


def clear_scratch(scratch: Path) -> None:
    """Remove a run's scratch folder if it has links or devices in it, or is one; what is only in it is done again.

    Training deletes there what it does not know.

    Raises:
        BasinError: it cannot be removed.
    """
    if not os.path.lexists(scratch) or _is_plain(scratch):
        return
    try:
        if plain_folder(scratch):
            shutil.rmtree(scratch)  # takes links away, and follows none
        else:
            scratch.unlink()
    except OSError as error:
        raise BasinError(f"{scratch} cannot be removed ({error.strerror}); move it away.") from None
    logger.info(f"{scratch.name} had links or devices in it, which no round puts there: it was removed.")


def _is_plain(folder: Path) -> bool:
    if not plain_folder(folder):
        return False
    for parent, folders, files in os.walk(folder, followlinks=False):
        for name in folders:
            if not plain_folder(Path(parent, name)):
                return False
        for name in files:
            if not stat.S_ISREG(os.lstat(Path(parent, name)).st_mode):
                return False
    return True
