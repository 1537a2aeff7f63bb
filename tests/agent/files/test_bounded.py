"""Packed bombs and files of other kinds are refused before they take memory or time."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from agent.errors import BasinError
from agent.files import bounded
from agent.files.bounded import lines, open_file, read_whole

PACK = {
    ".gz": lambda content: gzip.compress(content, 1),
    ".xz": lambda content: lzma.compress(content, preset=0),
    ".bz2": lambda content: bz2.compress(content, 1),
    ".zst": lambda content: zstandard.ZstdCompressor(level=9).compress(content),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "UNPACKED_FREELY", 1 << 20)
    monkeypatch.setattr(bounded, "LONGEST_TEXT", 1 << 19)


@pytest.mark.parametrize("packing", PACK)
def test_a_bomb_is_refused_and_packed_text_is_not(packing: str, small: None, tmp_path: Path) -> None:
    path = tmp_path / f"bomb{packing}"
    path.write_bytes(PACK[packing](b"aaaaaaa\n" * (1 << 19)))
    with pytest.raises(BasinError, match="bomb.* more than 100 times its size"):
        for _ in lines(path, packing):
            pass
    path.write_bytes(PACK[packing](os.urandom(1 << 21).hex().encode()[: 1 << 19] + b"\n"))
    with pytest.raises(BasinError, match="line 1 is longer than"):
        list(lines(path, packing))
    path.write_bytes(PACK[packing](b"one\ntwo\n") + PACK[packing](b"three"))
    assert list(lines(path, packing)) == [(1, b"one\n"), (2, b"two\n"), (3, b"three")]


def test_padding_between_streams_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "two.xz"
    path.write_bytes(lzma.compress(b"one\n") + b"\0" * 200_000 + lzma.compress(b"two\n") + b"\0" * 8)
    assert [line for _, line in lines(path, ".xz")] == [b"one\n", b"two\n"]


def test_an_archive_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.xz"
    wide = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    header = lzma.compress(b"text", filters=wide)
    path.write_bytes(header)
    with pytest.raises(BasinError, match="wide.xz is damaged .*Memory"):
        list(lines(path, ".xz"))


def test_two_gigabytes_of_one_letter_take_little_memory(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with (tmp_path / "s.jsonl.zst").open("wb") as file:
        for _ in range(512):
            file.write(packer.compress(b"a" * (1 << 22)))
        file.write(packer.flush())
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom agent.files.bounded import lines\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    list(lines(Path(sys.argv[1]), '.zst'))\nexcept Exception as error:\n    print(type(error).__name__)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "s.jsonl.zst")]
    message = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert message[0] == "BasinError" and int(message[1]) < 300 << 10  # kilobytes


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device", "a socket"])
def test_other_kinds_of_file_are_named_without_waiting(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path = Path("/dev/zero")
    else:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's name is short
        try:
            socket.socket(socket.AF_UNIX).bind("odd")
        finally:
            os.chdir(here)
    with pytest.raises(BasinError, match=f"{path} is {kind}"):
        open_file(path)


def test_links_are_followed_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_whole(tmp_path / "link", 10, "cut it") == b"text"
    with pytest.raises(BasinError, match="link is a link"):
        read_whole(tmp_path / "link", 10, "cut it", follow=False)
    with pytest.raises(BasinError, match="larger than 0 KiB: cut it"):
        read_whole(tmp_path / "file", 3, "cut it")


def test_a_file_that_is_refused_is_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(BasinError):
            read_whole(tmp_path, 3, "cut it")
    assert len(os.listdir("/proc/self/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 20
