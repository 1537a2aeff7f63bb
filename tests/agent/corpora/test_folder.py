"""Folders of texts: nothing outside them is read, and files that are no text are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.corpora import folder as folders
from agent.corpora import text
from agent.corpora.load import CorpusConfig, iter_records
from agent.errors import BasinError


def read_folder(path: Path) -> list[tuple[dict, str]]:
    return list(iter_records(CorpusConfig(source=str(path))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "corpus"
    path.mkdir()
    (path / "good.txt").write_text("A text.")
    (tmp_path / "secret.txt").write_text("A secret.")
    return path


def refusal(folder: Path) -> str:
    with pytest.raises(BasinError) as raised:
        read_folder(folder)
    return str(raised.value)


def test_a_link_may_not_lead_out(folder: Path) -> None:
    (folder / "inside.txt").symlink_to("good.txt")
    assert [text for _, text in read_folder(folder)] == ["A text.", "A text."]
    (folder / "out.txt").symlink_to("../secret.txt")
    assert "out.txt is a link that leads out of the corpus folder" in refusal(folder)


@pytest.mark.parametrize("target", [".", "..", "/etc"])
def test_a_link_to_a_folder_is_told_and_not_followed(folder: Path, target: str) -> None:
    (folder / "around").symlink_to(target)
    assert "around is a link to a folder" in refusal(folder)


@pytest.mark.parametrize("target", ["nowhere", "loop.txt"])
def test_a_link_that_leads_nowhere_is_told(folder: Path, target: str) -> None:
    (folder / "loop.txt").symlink_to(target)
    assert "loop.txt is a link that leads nowhere" in refusal(folder)


def test_pipes_and_devices_are_named(folder: Path) -> None:
    (folder / "zero.txt").symlink_to("/dev/zero")
    assert "zero.txt is a device" in refusal(folder)
    (folder / "zero.txt").unlink()
    os.mkfifo(folder / "pipe.md")
    assert "pipe.md is a pipe" in refusal(folder)


def test_hidden_files_and_other_kinds_are_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    os.mkfifo(folder / ".pipe.txt")
    (folder / ".git").symlink_to("/")
    for name in ("picture.png", "a.pdf", "b.PDF", "noending"):
        (folder / name).write_bytes(b"\0")
    for _ in range(2):
        assert [record["title"] for record, _ in read_folder(folder)] == ["good"]
    kinds = "2 .pdf, 1 .png, 1 without an ending"
    (message,) = caplog.messages
    start, _, listed = message.partition(" does not read: ")
    assert start == f"{folder} also holds files of kinds that Basin"
    assert sorted(listed.rstrip(".").split(", ")) == sorted(kinds.split(", "))


def test_a_folder_too_deep_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "DEEPEST", 3)
    (folder / "a/b/c").mkdir(parents=True)
    (folder / "a/b/c/deep.txt").write_text("Deep.")
    assert len(read_folder(folder)) == 2
    (folder / "a/b/c/d").mkdir()
    assert "more than 3 folders deep" in refusal(folder)


def test_too_many_or_too_large_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LONGEST_TEXT", 6)
    assert "good.txt is larger than" in refusal(folder)
    monkeypatch.setattr(folders, "MOST_DOCUMENTS", 0)
    assert "holds more than 0 files" in refusal(folder)


def test_a_name_that_is_not_utf8_can_be_shown(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("Another.")
    titles = [record["title"] for record, _ in read_folder(folder)]
    assert len(titles) == 2 and all(title.isprintable() for title in titles)
