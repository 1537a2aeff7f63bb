"""A run is of plain files and folders: whoever writes into one that came from somebody else must not be led out of it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from agent.errors import BasinError
from agent.plain_files import plain_folder
from loops.round_folders import FOLDER

CARE = {"run.json", "config.json", "certificate.json", "measurements.json", "progress.json"}


def refuse_links(run: Path) -> None:
    """Refuse a run with links or devices beside its rounds, where logs, pages and pictures are written.

    Rounds, and the files that are read with care and replaced in one step, are left to whoever reads them.

    Raises:
        BasinError: naming the first.
    """
    for entry in sorted(os.scandir(run), key=lambda each: each.name):
        if entry.name in CARE or FOLDER.fullmatch(entry.name) or entry.name.startswith((".", "damaged_")):
            continue
        if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            what = "a link" if entry.is_symlink() else "no plain file"
            raise BasinError(f"{run / entry.name} is {what}, and nothing of a run is; move it away.")


def clear_scratch(scratch: Path, say: Callable[[str], None]) -> None:
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
    say(f"{scratch.name} had links or devices in it, which no round puts there: it was removed.")


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
