"""Watching a run from outside: what is on disk is shown, what is not is not needed, the dead are told from the living."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer.testing
from planted_run import CONFIG, planted_passages, planted_pointer, planted_record, save_rounds
from rich.console import Console

from agent.errors import BasinError, printable
from loops.checkpoint import atomic
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.monitor.follow import Watcher
from loops.monitor.watch_view import drift_bar, frame, state

DRIFTS = (0.4, 0.1, 0.015)
LOG = """2026-01-01 10:00:00,001 INFO Run planted in checkpoints/planted
2026-01-01 10:00:01,001 INFO Corpus: 3 documents, 7 passages
2026-01-01 10:00:02,001 INFO Pointer: topic 1 (clue, \x1b[31mné, police)
a line of a traceback
"""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path / "planted", CONFIG)
    first = planted_record(0)
    store.save(
        replace(first, metrics={"base_coherence": 0.8, "no_concept": None}),
        planted_passages(),
        planted_pointer(),
    )
    for number, drift in enumerate(DRIFTS, start=1):
        record = planted_record(number)
        metrics = {
            "drift": drift,
            "agreement": 0.5,
            "coherence": 0.6,
            "size": 0.25,
            "repetitive": 0.1,
            "collapsed": None,
        }
        cost = {"generate": 10.0, "recluster": 20.0, "update": 5.0, "peak_gb": 2.0}
        store.save(replace(record, metrics=metrics, cost=cost))
    (store.path / "run.log").write_text(LOG)
    return store


@pytest.fixture
def held(store: RunStore) -> Iterator[None]:
    with store.exclusive():
        yield


def _status(store: RunStore, **facts: object) -> None:
    now = datetime.now(UTC)
    told = {"pid": os.getpid(), "host": "elsewhere", "at": now.isoformat(), "memory_gb": 1.25, "ended": None}
    told |= {"round": 4, "part": "recluster", "part_since": (now - timedelta(seconds=8)).isoformat()}
    told |= {"counts": [{"name": "record", "done": 25, "total": 100, "seconds": 10.0}]}
    (store.path / "progress.json").write_text(json.dumps(told | facts))


def _shown(store: RunStore, width: int = 100, height: int = 50) -> str:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(frame(Watcher(store.path).look(), console, "q leaves"))
    return console.file.getvalue()


def test_a_run_that_is_written_shows_its_stage_and_what_is_left(store: RunStore, held: None) -> None:
    _status(store)
    seen = Watcher(store.path).look()
    assert seen.alive and not seen.over and seen.held is True
    # 20 s of reclustering, 8 gone, then 5 of updating; no round is left after round 4 of 4
    assert seen.round_left == pytest.approx(17, abs=1) and seen.run_left == pytest.approx(17, abs=1)
    assert [(each.done, each.total) for each in seen.counts] == [(25, 100)]
    assert seen.counts[0].left == pytest.approx(30, abs=3)
    text = _shown(store)
    assert "Round 4 of at most 4: recluster, 8 s" in text and "1.2 GB" in text
    assert "25/100" in text and "about 30 s left" in text or "about 31 s left" in text
    assert (
        "Guards: none fired. readable 0.75 of the base model's (at least 0.5), size 25.0% (1% to 60%)" in text
    )
    assert re.search(r"3 +0\.015", text) and "Pointer: topic 1" in text and "traceback" not in text


def test_a_run_of_older_code_is_shown_without_a_status(store: RunStore, held: None) -> None:
    assert not (store.path / "progress.json").exists()
    text = _shown(store)
    assert "Round 4 of at most 4" in text and "recluster" not in text


def test_a_dead_writer_is_said_plainly(store: RunStore) -> None:
    _status(store)  # what it said last is no sign of life
    seen = Watcher(store.path).look()
    assert not seen.alive and not seen.over and seen.counts == () and seen.memory is None
    assert str(state(seen)) == "Nobody is writing; `basin resume planted` goes on."
    _status(store, ended="failed: the disk is [full]")
    assert "It failed: the disk is [full]. Nobody is writing" in str(state(Watcher(store.path).look()))


@pytest.mark.parametrize(
    "sentence",
    [
        "Converged: drift stayed under 0.02 for 2 rounds.",
        "Stopped after 4 rounds, before the notion was still; x",
    ],
)
def test_a_run_is_over_when_the_loop_said_so_and_nobody_writes(store: RunStore, sentence: str) -> None:
    with (store.path / "run.log").open("a") as log:
        log.write(f"2026-01-01 10:00:09,001 INFO {sentence}\n")
    seen = Watcher(store.path).look()
    assert seen.over and str(state(seen)) == sentence
    with store.exclusive():  # it is still being measured
        assert not Watcher(store.path).look().over
    with (store.path / "run.log").open("a") as log:
        log.write("2026-01-01 11:00:09,001 INFO Run planted goes on\n")
    assert not Watcher(store.path).look().over  # and was resumed since


def test_looking_takes_no_lock_and_changes_no_file(store: RunStore) -> None:
    before = {file: file.stat().st_mtime_ns for file in store.path.rglob("*")}
    watcher = Watcher(store.path)
    watcher.look()
    with store.exclusive():
        assert watcher.look().held
    assert atomic.is_held(store.path) is False
    assert {file: file.stat().st_mtime_ns for file in store.path.rglob("*")} == before


def test_a_writer_outlasts_one_who_looks(store: RunStore) -> None:
    import fcntl

    descriptor = os.open(store.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    looked = []

    def let_go(seconds: float) -> None:
        looked.append(seconds)
        os.close(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.time, "sleep", let_go)
        with store.exclusive():
            pass
    assert len(looked) == 1


def test_new_rounds_come_and_half_written_ones_do_not(store: RunStore, held: None) -> None:
    watcher = Watcher(store.path)
    assert [each.number for each in watcher.look().rounds] == [0, 1, 2, 3]
    (store.path / "round_004").mkdir()
    (store.path / "round_004" / "round.json").write_text("{}")
    assert [each.number for each in watcher.look().rounds] == [0, 1, 2, 3]
    (store.path / "round_004" / "round.json").unlink()
    (store.path / "round_004").rmdir()
    save_rounds(store, 1)
    assert [each.number for each in watcher.look().rounds] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("width", "height"), [(30, 12), (57, 20), (100, 24), (200, 60)])
def test_every_terminal_is_filled_and_not_overrun(
    store: RunStore, held: None, width: int, height: int
) -> None:
    _status(store)
    lines = _shown(store, width, height).splitlines()
    assert len(lines) <= height + (5 if height < 20 else 0)
    assert max(map(len, lines)) <= width and any("planted" in line for line in lines)


def test_fifty_rounds_show_the_newest(store: RunStore, held: None) -> None:
    for number in range(4, 51):
        store.save(replace(planted_record(number), metrics={"drift": 0.3}))
    lines = _shown(store, 100, 30).splitlines()
    assert len(lines) <= 30 and any(line.strip().startswith("50 ") for line in lines)


def test_hostile_text_cannot_steer_the_terminal(store: RunStore, held: None) -> None:
    assert "\x1b" not in _shown(store)
    assert printable("a\x1b[31m\u202e\nb\x07") == "a [31m  b "


def test_bars_fall_and_the_bound_is_a_mark() -> None:
    lengths = [str(drift_bar(drift, 0.02, 40)).count("█") for drift in (1.0, 0.3, 0.05, 0.01, 0.0)]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] == 39 and lengths[-1] == 0
    bar = str(drift_bar(0.3, 0.02, 40))
    assert len(bar) == 40 and bar.index("┃") == round(40 * 0.3705)  # log(0.02 / 0.002) / log(1 / 0.002)
    assert str(drift_bar(None, 0.02, 40)) == ""


def test_other_folders_are_refused_with_a_hint(tmp_path: Path, store: RunStore) -> None:
    with pytest.raises(BasinError, match="name one, such as .*planted"):
        Watcher(tmp_path)


def _basin(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, list(arguments))


def test_without_a_terminal_lines_are_printed_until_the_run_ends(store: RunStore) -> None:
    result = _basin("watch", str(store.path))
    assert result.exit_code == 1 and "Nobody is writing" in result.output
    assert "round 2: drift 0.100, agreement 0.500" in result.output
    (store.path / "run.log").write_text(LOG + "2026-01-01 10:00:09,001 INFO Converged: it is still.\n")
    result = _basin("watch", str(store.path))
    assert result.exit_code == 0 and result.output.splitlines()[-1] == "Converged: it is still."


def test_new_lines_are_printed_as_they_come(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(["INFO topics: [new] words", "INFO Converged: it is still."])

    def later(seconds: float) -> None:
        with (store.path / "run.log").open("a") as log:
            log.write(f"2026-01-01 10:00:03,001 {next(steps)}\n")

    monkeypatch.setattr(time, "sleep", later)
    monkeypatch.setattr(
        "loops.monitor.follow.is_held", lambda path: "Converged" not in (path / "run.log").read_text()
    )
    lines = _basin("watch", str(store.path)).output.splitlines()
    assert sum("topics: [new] words" in line for line in lines) == 1
    assert sum("Corpus" in line for line in lines) == 0 and lines[-1] == "Converged: it is still."


def test_once_prints_a_frame(store: RunStore, held: None) -> None:
    result = _basin("watch", str(store.path), "--once")
    assert result.exit_code == 0 and "Round 4 of at most 4" in result.output


def test_q_leaves_and_the_terminal_is_as_before(store: RunStore, held: None) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "loops.cli", "watch", str(store.path), "--every", "0.1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "30"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    read, typed = b"", False
    while select.select([ours], [], [], 20)[0]:
        try:
            new = os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        read += new
        if not typed and b"q leaves" in read:
            os.write(ours, b"q")
            typed = True
        if not new:
            break
    assert process.wait(20) == 0 and typed
    assert b"\x1b[?1049h" in read and read.rindex(b"\x1b[?1049l") > read.rindex(b"\x1b[?1049h")
    os.close(ours)


def test_watching_imports_neither_model_nor_labels() -> None:
    """A look over ssh must not cost what a run costs."""
    code = (
        "import sys, loops.cli.main, loops.cli.watch, loops.checkpoint.find, loops.monitor.follow, loops.monitor.watch_view;"
        "sys.exit(any(m.split('.')[0] in ('torch', 'transformers', 'numpy', 'gensim') or 'judging' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
