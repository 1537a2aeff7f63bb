"""Folders that are written whole or not at all, and that can tell when they were damaged afterwards.

A folder is filled under a temporary name beside its place, every file is synced, a manifest with the size and
SHA-256 of each file is written last, and one rename makes it visible. A reader sees all of it or nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.errors import BasinError

MANIFEST = "manifest.json"
LOCK_TRIES = 4


class DamagedError(Exception):
    """What is wrong with a folder that should have been whole, as the end of a sentence."""


def write_folder(target: Path, files: Mapping[str, bytes], header: Mapping[str, object]) -> None:
    """Write `files` and their manifest (which also carries `header`) to the new folder `target`, or nothing.

    Raises:
        OSError: the folder cannot be written, or `target` is there already; nothing is left behind.
    """
    draft = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        draft.mkdir()
        for name, content in files.items():
            (draft / name).parent.mkdir(exist_ok=True)
            _write_synced(draft / name, content)
        for inner in {(draft / name).parent for name in files} - {draft}:
            _sync_folder(inner)
        _write_synced(draft / MANIFEST, _manifest(files, header))
        _sync_folder(draft)
        os.rename(draft, target)  # fails when there is a non-empty folder of that name
        _sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a whole folder, each checked against its hash.

    Raises:
        DamagedError: a file is missing, has another content than was written, or the manifest cannot be read.
    """
    files = {}
    for name, entry in read_manifest(folder)["files"].items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise DamagedError(f"{name} cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise DamagedError(f"{name} is not what was written")
        files[name] = content
    return files


def read_manifest(folder: Path) -> dict:
    """The manifest of a folder; raises `DamagedError` when it is missing or unreadable."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        for entry in manifest["files"].values():
            entry["bytes"], entry["sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DamagedError(f"its {MANIFEST} is missing or unreadable") from None
    return manifest


def is_whole(folder: Path) -> bool:
    """Whether every file of the manifest is there with its size; quick, so it does not read the contents."""
    try:
        files = read_manifest(folder)["files"]
        return all((folder / name).stat().st_size == entry["bytes"] for name, entry in files.items())
    except (DamagedError, OSError):
        return False


def write_file(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader finds the old or the new content.

    Raises:
        OSError: it cannot be written; the old content stays.
    """
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        _write_synced(draft, content)
        os.replace(draft, path)
        _sync_folder(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def free_name(path: Path) -> Path:
    """A name beside `path`, numbered, that nothing has yet: for what is set aside."""
    number = 1
    while (aside := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return aside


def begin_folder(
    folder: Path, digest: str, say: Callable[[str], None], instead: str, **about: object
) -> None:
    """Make the folder of a long piece of work, or find it begun; one begun with other settings is set aside.

    Args:
        digest: of all that the work depends on; kept in settings.json, with `about`.
        instead: what to name where the folder cannot be used, such as "another folder with --out".

    Raises:
        BasinError: the folder cannot be made, read or written.
    """
    file = folder / "settings.json"
    try:
        if file.exists() and json.loads(file.read_bytes()).get("digest") != digest:
            aside = free_name(folder)
            folder.rename(aside)
            say(f"{folder.name} was begun with other settings: it is kept as {aside.name}.")
        folder.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps({"digest": digest, **about}).encode())
    except (OSError, ValueError) as error:
        raise BasinError(f"{folder} cannot be used ({error}); move it away, or name {instead}.") from None


@contextmanager
def exclusive(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock; False where another process holds it. The system lets go however the process ends.

    A file system without locks refuses nobody.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _taken(descriptor, fcntl.LOCK_EX, LOCK_TRIES)
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a folder's lock; None where that cannot be told. Changes nothing."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go by closing, microseconds later
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int, tries: int) -> bool:
    for attempt in range(tries):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < tries:  # it may be one who only looks whether the lock is held
                time.sleep(0.05)
        except OSError:
            return True
    return False


def remove_drafts(parent: Path) -> None:
    """Delete what a killed process left half-written; only for the one process that may write in `parent`."""
    for draft in parent.glob(".*.tmp-*"):
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _manifest(files: Mapping[str, bytes], header: Mapping[str, object]) -> bytes:
    entries = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    return json.dumps({**header, "files": entries}, indent=1, sort_keys=True).encode()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
