"""Atomic replacement of files."""

from __future__ import annotations

import os
import stat

import pytest

from loops.checkpoint.atomic import write_file


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "page.html"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["page.html"]


def test_a_pipe_or_a_folder_is_not_replaced(tmp_path):
    """Root could otherwise replace /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="a device, a pipe or a folder"):
            write_file(tmp_path / name, b"page")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]
