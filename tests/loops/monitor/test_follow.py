"""`basin inspect RUN --follow` prints what a run is doing, from its files alone, and tells the dead from the finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.testing
from planted_run import CONFIG, save_rounds

from loops.checkpoint import atomic
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.monitor import follow

LOG = """2026-01-01 10:00:00,001 INFO Run planted in checkpoints/planted
2026-01-01 10:00:01,001 INFO Corpus: 3 documents, 7 passages
2026-01-01 10:00:02,001 INFO Pointer: topic 1 (clue, \x1b[31mné, police)
a line of a traceback
"""
COUNT = "record: 25 of 100, about 30 s left"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path / "planted", CONFIG)
    save_rounds(store, 3)
    (store.path / "run.log").write_text(LOG)
    return store


@pytest.fixture
def held(store: RunStore) -> Iterator[None]:
    with store.exclusive():
        yield


def _status(store: RunStore, **facts: object) -> None:
    facts = {"ended": None, "round": 4, "part": "recluster", "counts": [COUNT]} | facts
    (store.path / "progress.json").write_text(json.dumps(facts))


def _follow(store: RunStore) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["inspect", str(store.path), "--follow"])


def test_lines_come_until_the_run_ends(store, monkeypatch):
    held, steps = [True], iter(["INFO topics: [new] wo", "rds\n2026-01-01 10:00:04,001 INFO It is still.\n"])

    def later(seconds: float) -> None:
        with (store.path / "run.log").open("a") as log:
            step = next(steps)
            log.write(f"2026-01-01 10:00:03,001 {step}" if step.startswith("INFO") else step)
        if "still" in step:
            _status(store, ended="finished")
            held[0] = False

    _status(store)
    monkeypatch.setattr(time, "sleep", later)
    monkeypatch.setattr(follow, "is_held", lambda path: held[0])
    result = _follow(store)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "10:00:00 Run planted in checkpoints/planted",
        "10:00:01 Corpus: 3 documents, 7 passages",
        "10:00:02 Pointer: topic 1 (clue,  [31mné, police)",
        "round 4: recluster",
        COUNT,
        "10:00:03 topics: [new] words",
        "10:00:04 It is still.",
        "planted is finished.",
    ]


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (None, "No process writes to planted; `basin resume planted` continues it."),
        ("stopped", "No process writes to planted; `basin resume planted` continues it."),
        ("failed: the disk is [full]", "planted failed: the disk is [full]. No process writes"),
    ],
)
def test_a_dead_run_is_reported_with_status_1(store, ended, sentence):
    _status(store, ended=ended)
    result = _follow(store)
    assert result.exit_code == 1 and result.output.splitlines()[-1].startswith(sentence)
    assert COUNT not in result.output


def test_a_run_without_a_status_file_is_followed(store):
    lines = follow.follow(store.path, pause=0)
    assert len(list(lines)) == 3 and follow.outcome(store.path)[0] is False


def test_without_file_locks_a_recent_status_shows_a_live_process(store, monkeypatch):
    monkeypatch.setattr(follow, "is_held", lambda path: None)
    _status(store)
    lines = follow.follow(store.path, pause=0)
    assert [next(lines) for _ in range(5)][3:] == ["round 4: recluster", COUNT]
    old = time.time() - 2 * follow.SECONDS_ALIVE
    os.utime(store.path / "progress.json", (old, old))
    assert list(lines) == []


def test_only_the_last_lines_of_a_long_log_are_printed(store):
    lines = "".join(f"2026-01-01 10:00:00,001 INFO line {number}\n" for number in range(5000))
    (store.path / "run.log").write_text(lines)
    found = list(follow.follow(store.path))
    assert len(found) == follow.FIRST_LINES and found[-1] == "10:00:00 line 4999"


def test_a_log_that_is_no_plain_file_is_not_read(store):
    (store.path / "run.log").unlink()
    os.mkfifo(store.path / "run.log")
    assert list(follow.follow(store.path)) == []


def test_following_takes_no_lock_and_changes_no_file(store):
    before = {file: file.stat().st_mtime_ns for file in store.path.rglob("*")}
    with store.exclusive():
        assert next(follow.follow(store.path)).endswith("Run planted in checkpoints/planted")
    assert list(follow.follow(store.path)) and atomic.is_held(store.path) is False
    assert {file: file.stat().st_mtime_ns for file in store.path.rglob("*")} == before


def test_a_writer_waits_for_a_reader_of_the_lock(store):
    import fcntl

    descriptor = os.open(store.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    waited = []

    def let_go(seconds: float) -> None:
        waited.append(seconds)
        os.close(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.time, "sleep", let_go)
        with store.exclusive():
            pass
    assert len(waited) == 1


def test_following_imports_no_model():
    """Following a run over ssh must not cost what a run costs."""
    code = (
        "import sys, loops.cli.main, loops.cli.look, loops.checkpoint.find, loops.monitor.follow;"
        "sys.exit(any(m.split('.')[0] in ('torch', 'transformers', 'numpy', 'gensim') or 'judging' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
