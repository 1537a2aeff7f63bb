"""Atomic writes of files and folders, and manifests that show later damage.

A folder is filled under a temporary name beside its place. Every file is synced, a manifest with
each file's size and SHA-256 is written last, and one rename makes the folder visible.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import BasinError, writing
from agent.files.checked import (
    MEGABYTE,
    DamagedError,
    is_safe_name,
    parse_json,
    plain_folder,
    read_inside,
    size_inside,
)
from loops.checkpoint.schema import DIGEST, check_digest, check_schema, digest_of, read_sealed, sealed

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LOCK_TRIES = 4
MOST_FILES = 64
MOST_MANIFEST = MEGABYTE
MOST_BYTES = {"passages.json": 1024 * MEGABYTE, "samples.json": 512 * MEGABYTE, "topic.json": 256 * MEGABYTE}
"""Maximum sizes by name."""
MOST_JSON, MOST_TENSORS = 64 * MEGABYTE, 4096 * MEGABYTE
"""Maximum sizes of other files."""
SHA256 = re.compile(r"[0-9a-f]{64}")


def write_folder(target: Path, files: Mapping[str, bytes], header: Mapping[str, object]) -> None:
    """Write files and their manifest, which includes `header`, to a new folder.

    Raises:
        OSError: the folder cannot be written, or exists; nothing is left behind.
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
    """The files that a folder's manifest names, each checked against its hash.

    Raises:
        DamagedError: the manifest is damaged, or a file is missing, a link, or changed.
    """
    entries = read_manifest(folder)["files"]
    return {name: read_entry(folder, name, entry) for name, entry in entries.items()}


def read_entry(folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    """One file of a folder, checked against its manifest entry; raises as `read_folder`."""
    content = read_inside(folder, name, entry["bytes"])
    if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise DamagedError(f"{name} is not what was written")
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; its names stay inside and its sizes are within limits.

    Raises:
        OtherFormatError: an older or newer version wrote it.
        DamagedError: it is missing, unreadable, changed, or names impossible files.
    """
    if not plain_folder(folder):
        raise DamagedError("it is a link or no folder")
    try:
        manifest = parse_json(read_inside(folder, MANIFEST, MOST_MANIFEST), MANIFEST)
    except DamagedError as damage:
        raise DamagedError(f"its {MANIFEST} is missing or unreadable: {damage}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise DamagedError(f"its {MANIFEST} is missing or unreadable: it names no files")
    check_schema(manifest.get("schema"), f"its {MANIFEST}")
    check_digest(manifest, f"its {MANIFEST}")
    if len(manifest["files"]) > MOST_FILES:
        raise DamagedError(f"its {MANIFEST} names {len(manifest['files'])} files")
    for name, entry in manifest["files"].items():
        _check_entry(name, entry)
    return manifest


def _check_entry(name: str, entry: Any) -> None:
    if not is_safe_name(name) or name == MANIFEST:
        raise DamagedError(f"its {MANIFEST} names {name[:80]!r}, which is no file inside")
    size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if type(size) is not int or not (isinstance(digest, str) and SHA256.fullmatch(digest)) or len(entry) != 2:
        raise DamagedError(f"its {MANIFEST} is unreadable at {name}")
    most = MOST_TENSORS if name.endswith(".safetensors") else MOST_BYTES.get(name, MOST_JSON)
    if not 0 <= size <= most:
        raise DamagedError(f"its {MANIFEST} gives {name} {size} bytes, and at most {most} are possible")


def is_whole(folder: Path) -> bool:
    """Whether every file of the manifest exists with its size; contents are not read."""
    try:
        files = read_manifest(folder)["files"]
    except DamagedError:
        return False
    return all(size_inside(folder, name) == entry["bytes"] for name, entry in files.items())


def write_file(path: Path, content: bytes) -> None:
    """Replace a file atomically.

    Raises:
        OSError: it cannot be written, and the old content stays; or it is no plain file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is a device, a pipe or a folder", str(path))
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        _write_synced(draft, content)
        os.replace(draft, path)
        _sync_folder(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def free_name(path: Path) -> Path:
    """The first free numbered name beside `path`."""
    number = 1
    while (aside := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return aside


def begin_folder(folder: Path, digest: str, instead: str, **about: object) -> None:
    """Make the folder of a long task, or continue one; a folder of other settings is renamed.

    Args:
        digest: of everything that the task depends on; settings.json stores it, with `about`.
        instead: the alternative that the error names, such as "another folder with --out".

    Raises:
        BasinError: the folder cannot be made, read or written.
    """
    file = folder / "settings.json"
    try:
        if file.exists() and _stored_digest(folder) != digest:
            aside = free_name(folder)
            folder.rename(aside)
            logger.info(f"{folder.name} was begun with other settings: it is kept as {aside.name}.")
        folder.mkdir(parents=True, exist_ok=True)
        write_file(file, sealed({"digest": digest, **about}))
    except (OSError, DamagedError) as error:
        raise BasinError(f"{folder} cannot be used ({error}); move it away, or name {instead}.") from None


@contextmanager
def exclusive(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock until the block or the process ends; False if another process has it.

    On a file system without locks this always succeeds.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a folder's lock; None if that is unknown."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing releases it
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    for attempt in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < LOCK_TRIES:  # `is_held` holds the lock for an instant
                time.sleep(0.05)
        except OSError:
            return True
    return False


def _stored_digest(folder: Path) -> Any:
    try:
        return read_sealed(folder, "settings.json").get("digest")
    except DamagedError:
        return None


def inner_folder(root: Path, *names: str) -> Path:
    """A folder inside another one, made if missing.

    Raises:
        BasinError: a link or a file has that name.
        OSError: it cannot be made.
    """
    folder = root
    for name in names:
        folder = folder / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        if not plain_folder(folder):
            raise BasinError(f"{folder} is a link or a file where a folder belongs; move it away.")
    return folder


def unlinked(path: Path) -> Path:
    """The path after removing its file, since a library would write through a link.

    Raises:
        BasinError: a folder has that name.
    """
    with writing(path, "move it away"):
        path.unlink(missing_ok=True)
    return path


def appendable(path: Path) -> Path:
    """The path, if it is a plain file or missing.

    Raises:
        BasinError: it is a link or a device, so that writes would land elsewhere.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise BasinError(f"{path} is a link or no plain file; move it away.")
    return path


def remove_drafts(parent: Path) -> None:
    """Delete unfinished files and folders of killed processes; hold the lock of `parent`."""
    for draft in parent.glob(".*.tmp-*"):
        if plain_folder(draft):
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _manifest(files: Mapping[str, bytes], header: Mapping[str, object]) -> bytes:
    entries = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    tree = {**header, "files": entries}
    return json.dumps({**tree, DIGEST: digest_of(tree)}, indent=1, sort_keys=True).encode()


def _write_synced(path: Path, content: bytes) -> None:
    """Write a new file, replacing a link instead of following it."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o666), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
