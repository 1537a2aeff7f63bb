"""The status file of a working process: written seldom, complete, and never a reason to stop."""

import io
import json
import logging

import pytest
from planted_log import listening
from rich.console import Console

from agent.progress import advance, begin_stage
from loops.monitor import follow
from loops.monitor.follow import StatusFile, read_status
from loops.monitor.progress import show_progress
from loops.round.context import Costs


def _quiet() -> Console:
    return Console(file=io.StringIO())


def test_the_status_holds_stage_counts_and_end(tmp_path):
    with show_progress(_quiet(), tmp_path / "run.log"):
        begin_stage(3, "recluster")
        found = read_status(tmp_path)
        assert (found["round"], found["part"], found["ended"]) == (3, "recluster", None)
        advance("record", 1, 10)
        handler = next(each for each in logging.getLogger("agent").handlers)
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
    with pytest.raises(type(error)), show_progress(_quiet(), tmp_path / "run.log"):
        raise error
    assert read_status(tmp_path)["ended"] == ended


def test_the_file_is_replaced_at_most_once_a_second(tmp_path, monkeypatch):
    clock, written = [100.0], []
    monkeypatch.setattr(follow.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        follow.os, "replace", lambda draft, path: written.append(json.loads(draft.read_text())["at_step"])
    )
    file = StatusFile(tmp_path / "progress.json")
    for step in range(40):
        clock[0] = 100 + step / 10
        file.update(at_step=step)
    assert written == [0, 10, 20, 30]


def test_a_disk_that_refuses_does_not_stop_the_work(tmp_path):
    file = StatusFile(tmp_path / "gone" / "progress.json")
    file.update(at_once=True, part="something")
    file.update(at_once=True, part="a lone surrogate \udc80")
    StatusFile(None).update(at_once=True, part="nothing")
    assert read_status(tmp_path / "gone") == {} and not (tmp_path / "gone").exists()
    for content in ("{half", "[1]"):
        (tmp_path / "progress.json").write_text(content)
        assert read_status(tmp_path) == {}


def test_costs_report_every_stage_as_it_begins():
    costs = Costs(2)
    with listening() as heard:
        for at, name in enumerate(("generate", "record"), 1):
            with costs.stage(name):
                assert len(heard.stages) == at
    assert heard.stages == [(2, "generate"), (2, "record")] and set(costs.seconds) == {"generate", "record"}
