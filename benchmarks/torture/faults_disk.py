"""Disks that are full, read-only or somebody else's. Small file systems are mounted for it, so most of it needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.torture import ground
from benchmarks.torture.faults import Bench, Failed, Skipped

NOBODY = 65534


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own of so many kilobytes at `place`."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def resize(place: Path, kilobytes: int) -> None:
    _mount("-o", f"remount,size={kilobytes}k", str(place))


def used_kilobytes(place: Path) -> int:
    of = os.statvfs(place)
    return (of.f_blocks - of.f_bfree) * of.f_bsize // 1024


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except OSError as error:
        raise Skipped("there is no mount") from error
    if done.returncode:
        raise Skipped(done.stderr.strip())


def full_disk_under_a_round(bench: Bench) -> str:
    return _full_disk(
        bench, "vector", {"call": "saving", "number": 2}, r"could not be written .*No space left.*kept"
    )


def full_disk_under_training(bench: Bench) -> str:
    """The trainer's state finds no room, or the round that it was for."""
    sentence = r"(Training cannot keep its state|could not be written).*(No space left|disk is full).*resume"
    return _full_disk(bench, "adapter", {"call": "training", "number": 1}, sentence)


def _full_disk(bench: Bench, method: str, place: dict[str, Any], sentence: str) -> str:
    bench.expected(method)
    with small_disk(bench.run, 20_000):
        bench.begin_and_kill(method, **place)
        resize(bench.run, used_kilobytes(bench.run) + 8)
        bench.must_refuse(bench.resume(), sentence)
        bench.must_refuse(bench.resume(), sentence)  # and again, while it is not put right
        resize(bench.run, 20_000)
        bench.must_be_whole(bench.resume(), method)
    return "refused in a sentence; with room again it went on to the same bytes"


def full_disk_under_the_cache(bench: Bench) -> str:
    bench.expected()
    with small_disk(bench.folder / "caches" / bench.case, 16) as cache:
        bench.must_refuse(bench.begin(), r"(cannot be kept in|cannot be used).*make room there")
        resize(cache, 20_000)
        bench.must_be_whole(bench.resume())
    return "refused in a sentence; with room again it went on to the same bytes"


def full_temporary_folder(bench: Bench) -> str:
    """TMPDIR without any room."""
    bench.expected("adapter")
    with small_disk(bench.folder / "mounts" / bench.case, 4) as place:
        with contextlib.suppress(OSError):
            (place / "filler").write_bytes(bytes(1 << 20))
        ended = bench.begin("adapter", TMPDIR=str(place), HF_DATASETS_CACHE=str(place / "datasets"))
        if ended.status:
            bench.must_refuse(ended, "Error: .*(room|TMPDIR)")
            bench.must_be_whole(bench.resume(), "adapter")
            return "refused in a sentence, and went on later"
        bench.must_be_whole(ended, "adapter")
    return "not needed: the run came to its end"


def read_only_run(bench: Bench) -> str:
    bench.expected()
    with small_disk(bench.run, 20_000):
        bench.begin_and_kill("vector", "saving", 2)
        _mount("-o", "remount,ro", str(bench.run))
        bench.must_refuse(bench.resume(), r"Read-only file system")
        _mount("-o", "remount,rw", str(bench.run))
        bench.must_be_whole(bench.resume())
    return "refused in a sentence; writable again it went on to the same bytes"


def somebody_elses_checkpoints(bench: Bench) -> str:
    """A checkpoints folder that this user may not write in."""
    with _given_away(bench.folder / "mounts" / bench.case) as shut:
        ended = bench.begin(plan={"powerless": True}, BASIN_CHECKPOINTS=str(shut))
        bench.must_refuse(ended, r"cannot be written \(Permission denied\)")
    return "refused in a sentence"


def somebody_elses_run(bench: Bench) -> str:
    """A run that another user began: reading is allowed, going on is not, and nothing of it is touched."""
    bench.expected()
    bench.begin_and_kill("vector", "saving", 2)
    before = {file: file.stat().st_mtime_ns for file in bench.run.rglob("*")}
    with _given_away(bench.run):
        bench.must_refuse(bench.resume(plan={"powerless": True}), r"Permission denied")
        seen = bench.live("inspect", bench.case, plan={"powerless": True})
    if seen.status:
        raise Failed(f"cannot be inspected: {seen.said[-300:]}")
    if before != {file: file.stat().st_mtime_ns for file in bench.run.rglob("*")}:
        raise Failed("something in the run was changed")
    bench.must_be_whole(bench.resume())
    return "refused in a sentence, untouched, and its owner went on"


def cache_without_permission(bench: Bench) -> str:
    with _given_away(bench.folder / "caches" / bench.case):
        ended = bench.begin(plan={"powerless": True})
        bench.must_refuse(ended, r"cannot be (used|kept).*Permission denied.*BASIN_CACHE")
    return "refused in a sentence"


def corpus_without_permission(bench: Bench) -> str:
    config = bench.config(name="shut", corpus={"source": str(bench.folder / "shut")})
    ground.make_corpus(bench.folder / "shut")
    file = bench.folder / "shut" / "03.txt"
    file.chmod(0)
    ended = bench.live("run", str(config), "--name", bench.case, plan={"powerless": True})
    bench.must_refuse(ended, r"Error: .*cannot be read \(Permission denied\)")
    return "refused in a sentence"


@contextlib.contextmanager
def _given_away(folder: Path) -> Iterator[Path]:
    """Everything in a folder belongs to somebody else for a while, and may be read."""
    if os.geteuid() != 0:
        raise Skipped("only root can give files away")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder, *folder.rglob("*")]
    for file in files:
        os.chown(file, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        for file in files:
            if file.exists():
                os.chown(file, 0, 0)


CASES = {
    "full disk under a round": full_disk_under_a_round,
    "full disk under training": full_disk_under_training,
    "full disk under the cache": full_disk_under_the_cache,
    "full temporary folder": full_temporary_folder,
    "read-only run": read_only_run,
    "somebody else's checkpoints folder": somebody_elses_checkpoints,
    "somebody else's run": somebody_elses_run,
    "cache without permission": cache_without_permission,
    "corpus without permission": corpus_without_permission,
}
