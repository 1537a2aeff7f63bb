"""Log records while work goes on: counts become bars or few lines, every message reaches the log."""

import io
import logging

import pytest
from rich.console import Console

from agent.progress import advance, timed
from loops.monitor import progress
from loops.monitor.progress import ProgressHandler, show_progress

logger = logging.getLogger("loops.test")


def _console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


def _handler() -> ProgressHandler:
    return next(each for each in logging.getLogger("agent").handlers if isinstance(each, ProgressHandler))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_count_ends_and_leaves_nothing_behind(terminal):
    with show_progress(_console(terminal)):
        for done in (3, 7):
            advance("record", done, 10, "texts")
            assert _handler().tasks["record"].completed == done
        advance("record", 10, 10, "texts")
        assert _handler().tasks == {} and _handler().bars.tasks == []
        advance("record", 1, 4, "texts")  # the same work again, another size
        assert _handler().tasks["record"].total == 4
    assert not logging.getLogger("agent").handlers and not logging.getLogger("loops").handlers


def test_quick_counts_make_no_lines_and_messages_do():
    console = _console(False)
    with show_progress(console):
        for done in range(1, 501):
            advance("record", done, 500, "texts")
        logger.info("fetching [a thing]")
        logger.info("Round 2 of 3: 4 of 5 stay")  # a message, whatever it looks like
    assert console.file.getvalue() == "fetching [a thing]\nRound 2 of 3: 4 of 5 stay\n"


def test_slow_counts_show_an_estimate():
    console = _console(False)
    with show_progress(console):
        advance("record", 1, 4)
        _handler().tasks["record"].start_time -= 100
        _handler().shown -= 100
        advance("record", 2, 4)
    assert "100 s left" in console.file.getvalue() or "2 min left" in console.file.getvalue()


def test_timed_work_ends_when_it_fails():
    with show_progress(_console(True)):
        with pytest.raises(RuntimeError), timed("reading"):
            assert _handler().tasks["reading"].total is None
            raise RuntimeError
        assert _handler().tasks == {}


def test_the_log_is_appended_to_and_closed(tmp_path):
    for word in ("first", "second"):
        with show_progress(_console(False), tmp_path / "run.log"):
            logger.info(f"the {word} time")
            advance("update", 1, 1)
    log = (tmp_path / "run.log").read_text()
    assert [log.count(part) for part in ("first", "second", "update: 1 of 1")] == [1, 1, 2]


@pytest.mark.parametrize("full", [False, True])
def test_a_log_that_cannot_be_written_is_no_reason_to_stop(tmp_path, full, capfd, monkeypatch):
    log = tmp_path / "run.log" if full else tmp_path / "no folder" / "run.log"
    if full:
        log.symlink_to("/dev/full")
        monkeypatch.setattr(progress, "appendable", lambda path: path)  # it would not follow the link
    with show_progress(Console(quiet=True), log):
        logger.info("a sentence")
    assert capfd.readouterr().err == ""
