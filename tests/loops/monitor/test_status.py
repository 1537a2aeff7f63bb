"""What a working process says about itself: seldom, whole, and never a reason to stop."""

from __future__ import annotations

import io
import json
import logging
import os
from pathlib import Path

import pytest
from planted_log import listening
from rich.console import Console

from agent.progress import advance, begin_stage
from loops.monitor import follow
from loops.monitor.follow import StatusFile, memory_gigabytes, read_status
from loops.monitor.progress import show_progress
from loops.round.context import Costs


def _quiet() -> Console:
    return Console(file=io.StringIO())


def test_progress_says_where_the_work_is_and_how_it_ended(tmp_path: Path) -> None:
    with show_progress(_quiet(), tmp_path / "run.log"):
        logging.getLogger("loops").info("Corpus: two [books] “né”")
        begin_stage(3, "recluster")
        found = read_status(tmp_path)
        assert (found["pid"], found["round"], found["part"], found["ended"]) == (
            os.getpid(),
            3,
            "recluster",
            None,
        )
        assert found["said"] == "Corpus: two [books] “né”" and found["memory_gb"] > 0.01
        advance("record", 1, 10)
        handler = next(each for each in logging.getLogger("agent").handlers)
        handler.status.due = 0.0
        advance("record", 3, 10)
        counted = read_status(tmp_path)["counts"]
        assert [(each["name"], each["done"], each["total"]) for each in counted] == [("record", 3, 10)]
        advance("record", 10, 10)
    assert read_status(tmp_path)["ended"] == "whole" and read_status(tmp_path)["counts"] == []
    assert [file.name for file in tmp_path.iterdir() if "tmp" in file.name] == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(KeyboardInterrupt(), "stopped"), (ValueError("no [luck]. At all"), "failed: no [luck]")],
)
def test_an_end_before_the_end_is_told(tmp_path: Path, error: BaseException, told: str) -> None:
    with pytest.raises(type(error)), show_progress(_quiet(), tmp_path / "run.log"):
        raise error
    assert read_status(tmp_path)["ended"] == told


def test_the_file_is_replaced_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = [100.0], []
    monkeypatch.setattr(follow.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        follow.os, "replace", lambda draft, path: written.append(json.loads(draft.read_text())["at_step"])
    )
    file = StatusFile(tmp_path / "progress.json")
    for step in range(40):
        clock[0] = 100 + step / 10
        file.tell(at_step=step)
    assert written == [0, 10, 20, 30]


def test_a_disk_that_refuses_is_no_reason_to_stop(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "gone" / "progress.json")
    file.tell(at_once=True, said="something")
    file.tell(at_once=True, said="a lone surrogate \udc80")
    StatusFile(None).tell(at_once=True, said="nothing")
    assert read_status(tmp_path / "gone") is None and not (tmp_path / "gone").exists()
    (tmp_path / "progress.json").write_text("{half")
    assert read_status(tmp_path) is None
    (tmp_path / "progress.json").write_text("[1]")
    assert read_status(tmp_path) is None


def test_costs_report_every_stage_as_it_begins() -> None:
    costs = Costs(2)
    with listening() as heard:
        with costs.stage("generate"):
            assert heard.stages == [(2, "generate")]
        with costs.stage("record"):
            pass
    assert heard.stages == [(2, "generate"), (2, "record")] and set(costs.seconds) == {"generate", "record"}


def test_memory_of_nobody_is_not_known() -> None:
    assert memory_gigabytes(2**22 + 1) is None
    assert 0.005 < memory_gigabytes() < 100
