"""What is said while work goes on: counts become bars or few lines, everything reaches the log."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from loops.monitor.progress import PlainProgress, TerminalProgress, open_progress


def _console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_kind_follows_the_console(terminal: bool) -> None:
    with open_progress(_console(terminal)) as progress:
        assert isinstance(progress, TerminalProgress if terminal else PlainProgress)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_count_ends_and_leaves_nothing_behind(terminal: bool) -> None:
    with open_progress(_console(terminal)) as progress:
        for done in (3, 7):
            progress.say(f"record: {done} of 10 texts")
            assert progress.counts["record"].done == done
        progress.say("record: 10 of 10 texts")
        assert progress.counts == {}
        progress.say("record: 1 of 4 texts")  # the same work again, another size
        assert progress.counts["record"].total == 4


def test_quick_counts_make_no_lines_and_sentences_do() -> None:
    console = _console(False)
    with open_progress(console) as progress:
        for done in range(1, 501):
            progress.say(f"record: {done} of 500 texts")
        progress.say("fetching [a thing]")
    assert console.file.getvalue() == "fetching [a thing]\n"


def test_slow_counts_tell_what_is_left() -> None:
    console = _console(False)
    with open_progress(console) as progress:
        progress.say("record: 1 of 4 texts")
        progress.counts["record"].since -= 100
        progress.counts["record"].shown -= 100
        progress.say("record: 2 of 4 texts")
    assert "100 s left" in console.file.getvalue() or "2 min left" in console.file.getvalue()


def test_stages_end_when_their_work_fails() -> None:
    with open_progress(_console(True)) as progress:
        with pytest.raises(RuntimeError), progress.stage("rounds", 3) as stage:
            stage.advance(2)
            assert progress.counts["rounds"].done == 2
            raise RuntimeError
        assert progress.counts == {} and progress.tasks == {}


def test_the_log_is_appended_to_and_let_go(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    for word in ("first", "second"):
        with open_progress(_console(False), log) as progress:
            progress.say(f"the {word} time")
            progress.say("update: step 1 of 1, margin 0.125")
    lines = log.read_text().splitlines()
    assert [line for line in lines if "first" in line] and [line for line in lines if "second" in line]
    assert sum("margin 0.125" in line for line in lines) == 2
    kept = logging.getLogger("basin").handlers
    assert not [each for each in kept if getattr(each, "baseFilename", None) == str(log)]


@pytest.mark.parametrize("full", [False, True])
def test_a_log_that_cannot_be_written_is_no_reason_to_stop(tmp_path, full, capfd, monkeypatch):
    log = tmp_path / "run.log" if full else tmp_path / "no folder" / "run.log"
    if full:
        log.symlink_to("/dev/full")
        monkeypatch.setattr(
            "loops.monitor.progress.appendable", lambda path: path
        )  # it would not follow the link
    with open_progress(Console(quiet=True), log) as progress:
        progress.say("a sentence")
    assert capfd.readouterr().err == ""
