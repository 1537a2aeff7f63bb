"""`basin inspect RUN --follow` prints a run's progress from its files, and tells a dead run from a finished one."""

import fcntl
import json
import os
import subprocess
import sys
import time

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
def store(tmp_path) -> RunStore:
    store = RunStore.create(tmp_path / "planted", CONFIG)
    save_rounds(store, 3)
    (store.path / "run.log").write_text(LOG)
    return store


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


@pytest.mark.parametrize("ended", [None, "stopped", "failed: the disk is [full]"])
def test_a_dead_run_is_reported_with_status_1(store, ended):
    _status(store, ended=ended)
    result = _follow(store)
    failed = "planted failed: the disk is [full]. " if ended and "failed" in ended else ""
    sentence = f"{failed}No process writes to planted; `basin resume planted` continues it."
    assert result.exit_code == 1 and result.output.splitlines()[-1] == sentence
    assert COUNT not in result.output


def test_without_file_locks_a_recent_status_shows_a_live_process(store, monkeypatch):
    monkeypatch.setattr(follow, "is_held", lambda path: None)
    _status(store)
    lines = follow.follow(store.path, pause=0)
    assert [next(lines) for _ in range(5)][3:] == ["round 4: recluster", COUNT]
    old = time.time() - 2 * follow.SECONDS_ALIVE
    os.utime(store.path / "progress.json", (old, old))
    assert list(lines) == []


def test_only_the_last_lines_of_a_long_log_are_printed(store):
    log, line = store.path / "run.log", "2026-01-01 10:00:00,001 INFO line {}\n"
    log.write_text("".join(line.format(number) for number in range(5000)))
    found = list(follow.follow(store.path))
    assert len(found) == follow.FIRST_LINES and found[-1] == "10:00:00 line 4999"
    log.unlink()
    os.mkfifo(log)
    assert list(follow.follow(store.path)) == []


def test_following_takes_no_lock_and_changes_no_file(store):
    before = {file: file.stat().st_mtime_ns for file in store.path.rglob("*")}
    with store.exclusive():
        assert next(follow.follow(store.path)).endswith("Run planted in checkpoints/planted")
    assert len(list(follow.follow(store.path))) == 3 and follow.outcome(store.path)[0] is False
    assert atomic.is_held(store.path) is False
    assert {file: file.stat().st_mtime_ns for file in store.path.rglob("*")} == before


def test_a_writer_waits_for_a_reader_of_the_lock(store, monkeypatch):
    descriptor, waited = os.open(store.path, os.O_RDONLY), []
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    monkeypatch.setattr(atomic.time, "sleep", lambda _: waited.append(os.close(descriptor)))
    with store.exclusive():
        assert len(waited) == 1


def test_following_imports_no_model():
    """Following a run over ssh must not cost what a run costs."""
    modules = "loops.cli.main, loops.cli.look, loops.checkpoint.find, loops.monitor.follow"
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "transformers", "numpy", "gensim"}
    assert not any("judging" in name for name in loaded)
