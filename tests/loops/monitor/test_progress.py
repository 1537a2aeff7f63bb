"""Log records while work goes on: counts become bars or few lines, messages reach the log, the status its file."""

import io
import logging
import subprocess
import sys

import pytest
from rich.console import Console

from agent.progress import advance, begin_stage, timed
from loops.monitor import progress
from loops.monitor.follow import StatusFile, read_status
from loops.monitor.progress import ProgressHandler, show_progress
from loops.monitor.tables import can_draw

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
def test_an_unwritable_log_does_not_stop_the_work(tmp_path, full, capfd, monkeypatch):
    log = tmp_path / "run.log" if full else tmp_path / "no folder" / "run.log"
    if full:
        log.symlink_to("/dev/full")
        monkeypatch.setattr(progress, "appendable", lambda path: path)  # it would not follow the link
    with show_progress(Console(quiet=True), log):
        logger.info("a sentence")
    assert capfd.readouterr().err == ""


def test_the_status_holds_stage_counts_and_end(tmp_path):
    with show_progress(Console(quiet=True), tmp_path / "run.log"):
        begin_stage(3, "recluster")
        found = read_status(tmp_path)
        assert (found["round"], found["part"], found["ended"]) == (3, "recluster", None)
        advance("record", 1, 10)
        handler = _handler()
        handler.status.due = 0.0
        advance("record", 3, 10)
        assert [each[:16] for each in read_status(tmp_path)["counts"]] == ["record: 3 of 10,"]
        advance("record", 10, 10)
    assert read_status(tmp_path)["ended"] == "finished" and read_status(tmp_path)["counts"] == []
    assert [file.name for file in tmp_path.iterdir() if "tmp" in file.name] == []


@pytest.mark.parametrize(
    ("error", "ended"),
    [(KeyboardInterrupt(), "stopped"), (ValueError("no [luck]. At all"), "failed: no [luck]")],
)
def test_an_early_end_is_noted(tmp_path, error, ended):
    with pytest.raises(type(error)), show_progress(Console(quiet=True), tmp_path / "run.log"):
        raise error
    assert read_status(tmp_path)["ended"] == ended


def test_an_unwritable_status_file_does_not_stop_the_work(tmp_path):
    file = StatusFile(tmp_path / "gone" / "progress.json")
    file.update(at_once=True, part="something")
    file.update(at_once=True, part="a lone surrogate \udc80")
    StatusFile(None).update(at_once=True, part="nothing")
    assert read_status(tmp_path / "gone") == {} and not (tmp_path / "gone").exists()
    for content in ("{half", "[1]"):
        (tmp_path / "progress.json").write_text(content)
        assert read_status(tmp_path) == {}


def test_a_picture_without_matplotlib_names_the_extra(monkeypatch, messages):
    told: list[str] = messages
    assert can_draw("basin.png") and told == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_draw("basin.png")
    assert len(told) == 1 and "basin.png was not drawn" in told[0] and "basin[plots]" in told[0]


def test_nothing_but_pictures_needs_matplotlib():
    modules = "loops.evaluation.measure, loops.basin_map.evaluate, loops.transfer.evaluate, loops.cli.main"
    modules += ", loops.refine, loops.report.make"
    code = f"import sys\nsys.modules['matplotlib'] = None\nimport {modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
