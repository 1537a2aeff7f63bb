"""A fast sample of the torture: a run killed at six exact places, a few faults injected for real, and that both can fail.

`make torture` runs the whole of it.
"""

from __future__ import annotations

import json
import random

import pytest

from benchmarks.torture import faults, ground, kept, kills, summary
from benchmarks.torture.kills import Aim, at
from benchmarks.torture.lives import Nursery

PLACES = [
    at("fsync", 1),
    at("rename", 1, after=True, match="/written/"),
    at("rename", 1, match="/round_000"),
    at("rename", 1, after=True, match="/round_000"),
    at("re-clustering", 1),
    at("rename", 1, match="whole.json"),
    at("rename", 2, after=True, match="whole.json"),
    at("rename", 1, after=True, match="/round_001"),
]
"""Before and after what makes work count: a batch that was written, a round, a trainer's state."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("torture")
    ground.make_ground(place)
    small = {**faults.SMALL, "rounds": 1, "certificate": {"restarts": 1}}
    ground.write_config(place / "adapter.yaml", ground.settings(place, "adapter", **small))
    return place


@pytest.fixture(scope="module")
def nursery(folder):
    with Nursery(folder / "nursery") as found:
        yield found


@pytest.fixture(scope="module")
def bench(folder, nursery):
    (folder / "faults").mkdir()
    return faults.Bench(folder / "faults", nursery)


def test_a_run_killed_again_and_again_makes_the_bytes_of_one_that_was_not(folder, nursery, monkeypatch):
    expected = kills.undisturbed(nursery.live, folder, "adapter")
    assert {"round_001/adapter/adapter_model.safetensors", "round_001/round.json"} <= expected.files.keys()
    aims = iter([*PLACES, *[Aim("none")] * 9])
    monkeypatch.setattr(kills, "_aim", lambda *_: next(aims))
    killed, run = kills.tortured(nursery.live, folder, "run", "adapter", expected, random.Random(0), True)
    assert run["identical"], run
    assert len(killed) == len(PLACES)
    assert {"starting", "generation", "re-clustering", "training", "saving"} <= {
        row["phase"] for row in killed
    }
    assert all(0 <= row["lost"] <= row["seconds"] + 0.01 for row in killed)


@pytest.mark.parametrize(
    "name", ["SIGTERM while it writes", "terminal hangs up", "full disk under a round", "NaN in activations"]
)
def test_a_fault_ends_in_a_sentence_and_loses_nothing(bench, name):
    row = faults.inject(bench, name, faults.cases()[name])
    if row is None:
        pytest.skip("cannot be injected on this machine")
    assert row["survived"], row["seen"]


def test_a_case_that_is_not_survived_says_why(bench):
    def case(bench):
        bench.must_refuse(bench.live("inspect", "nothing"), "something else was expected")
        return "survived"

    row = faults.inject(bench, "a made-up case", case)
    assert not row["survived"] and "There is no run" in row["seen"]


def test_other_bytes_and_what_is_left_behind_are_noticed(tmp_path):
    folder = tmp_path / "round_000"
    folder.mkdir()
    for name, content in {"round.json": "{}", "cost.json": "1"}.items():
        (folder / name).write_text(content)
    (folder / "manifest.json").write_text(json.dumps({"files": {"cost.json": 1, "round.json": 2}}))
    before = kills.contents(tmp_path)
    (folder / "cost.json").write_text("2")
    (folder / "manifest.json").write_text(json.dumps({"files": {"cost.json": 3, "round.json": 2}}))
    assert kills.differences(before, kills.contents(tmp_path)) == []
    (folder / "round.json").write_text("{ }")
    (tmp_path / "certificate.json").write_text("{}")
    assert kills.differences(before, kills.contents(tmp_path)) == ["certificate.json", "round_000/round.json"]
    (tmp_path / ".round_001.tmp-7").mkdir()
    assert kills.leftovers(tmp_path, tmp_path / "cache") == [".round_001.tmp-7"]


def test_what_was_measured_becomes_one_row_and_its_parts(tmp_path):
    runs = [{"run": "a", "identical": True}, {"run": "b", "identical": False}]
    kept.add(tmp_path, "kills-runs", runs)
    lost = {"a": (0.5, 1.5), "b": (4.0,)}
    for run, seconds in lost.items():
        rows = [{"run": run, "phase": "training", "method": "adapter", "lost": each} for each in seconds]
        kept.add(tmp_path, "kills", rows)
    kept.add(tmp_path, "faults", [{"fault": "x", "survived": True, "seen": "", "seconds": 1.0}])
    (tmp_path / "fuzz.json").write_text(
        json.dumps({"rows": [{"fuzz_inputs": 5}, {"fuzz_inputs": 10, "tracebacks": 0}]})
    )
    first, *parts = summary.rows(tmp_path, results=tmp_path)
    expected = {"kills": 3, "identical": 2, "runs": 2, "work_lost_s_median": 1.5, "work_lost_s_max": 4.0}
    assert {name: first[name] for name in expected} == expected
    assert first["faults_injected"] == first["faults_survived"] == 1
    assert first["fuzz_inputs"] == 10 and first["tracebacks"] == 0 and first["damaged"] is None
    assert [part["what"] for part in parts] == ["kill", "fault"]
    summary.write([first, *parts], tmp_path)
    assert json.loads((tmp_path / "torture.json").read_text())["rows"][0]["kills"] == 3
