"""A basin map finds the planted fixed point, resumes, and loses no finished start when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from planted_map import CONFIG, MEMBERS, planted_setup

from agent.basin.starts import StartsConfig
from agent.errors import BasinError
from agent.judging.gold import GoldLabels
from agent.membership.similarity import soft_jaccard
from loops.basin_map import evaluate
from loops.basin_map import map as basin_map
from loops.basin_map.map import FLOWS, SUMMARY, TABLE, map_basin
from loops.basin_map.table import show_map

HERE = Path(__file__).resolve().parents[2] / "planted"


@pytest.fixture(autouse=True)
def planted(monkeypatch):
    monkeypatch.setattr(basin_map, "prepare", lambda config: planted_setup())


def counted(monkeypatch) -> list[str]:
    """Names of the starts that are followed from now on."""
    follow, followed = basin_map.follow, []

    def watched(inputs, start):
        followed.append(start.name)
        return follow(inputs, start)

    monkeypatch.setattr(basin_map, "follow", watched)
    return followed


def test_a_map_of_another_model_is_another_map():
    made = planted_setup()
    assert basin_map._digest(CONFIG, made) == basin_map._digest(CONFIG, made)
    assert basin_map._digest(CONFIG, replace(made, models="another")) != basin_map._digest(CONFIG, made)


def test_the_better_starts_share_a_fixed_point_and_it_is_the_planted_one(tmp_path):
    found = map_basin(CONFIG, tmp_path / "map")
    assert len(found.flows) == 12 and found.path.shape[1] == CONFIG.rounds + 1
    assert (found.reached[:7] == 0).all()
    assert soft_jaccard(found.points[0].membership, MEMBERS.astype(float)) > 0.9
    assert found.certified[0]
    assert found.point_names[0].split()[0] == "clue"
    assert found.topics_like(found.points[0])[0][0] == "police clue"


def test_summary_and_table_hold_the_map(tmp_path):
    found = map_basin(CONFIG, tmp_path / "map")
    summary = json.loads((tmp_path / "map" / SUMMARY).read_bytes())
    assert (
        summary["starts"] == 12
        and sum(point["starts"] for point in summary["fixed_points"]) == summary["settled"]
    )
    first = summary["fixed_points"][0]
    assert first["eigenvalue"] < 1 and first["back_after_kicks"] > 0.9 and len(first["typical"]) == 3
    table = parquet.read_table(tmp_path / "map" / TABLE).to_pylist()
    assert [row["name"] for row in table] == [start.name for start in found.setup.starts]
    assert [row["fixed_point"] for row in table] == found.reached.tolist()
    assert np.allclose(table[3]["final"], found.flows[3].path[-1], atol=1e-6)


def test_a_start_that_has_arrived_is_not_followed_again(tmp_path, monkeypatch):
    followed = counted(monkeypatch)
    first = map_basin(CONFIG, tmp_path / "map")
    assert len(followed) == 12
    followed.clear()
    files = sorted((tmp_path / "map" / FLOWS).iterdir())
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:50])  # a torn file is no arrival
    again = map_basin(CONFIG, tmp_path / "map")
    assert len(followed) == 2
    assert np.allclose(first.path, again.path, atol=1e-6) and (first.reached == again.reached).all()


def test_other_settings_begin_anew_and_more_starts_do_not(tmp_path, monkeypatch, messages):
    followed = counted(monkeypatch)
    map_basin(CONFIG, tmp_path / "map")
    followed.clear()
    more = CONFIG.model_copy(update={"starts": StartsConfig(draws=9)})
    map_basin(more, tmp_path / "map")
    assert followed == []
    longer = CONFIG.model_copy(update={"rounds": 8})
    map_basin(longer, tmp_path / "map")
    assert len(followed) == 12 and (tmp_path / "map-1").is_dir()
    assert any("kept as map-1" in sentence for sentence in messages)


def test_two_processes_find_the_same_map(tmp_path):
    one = map_basin(CONFIG, tmp_path / "one")
    run = CONFIG.run.model_copy(update={"workers": 2})
    two = map_basin(CONFIG.model_copy(update={"run": run}), tmp_path / "two")
    assert np.allclose(one.path, two.path, atol=1e-6)
    assert one.certified.tolist() == two.certified.tolist()


def test_a_kill_loses_no_start_that_has_arrived(tmp_path, monkeypatch):
    folder = tmp_path / "map"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), str(HERE)]),
    }
    driver = subprocess.Popen(
        [sys.executable, str(HERE / "planted_map.py"), str(folder), "2"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(folder.glob(f"{FLOWS}/*.safetensors"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=60)
    arrived = len(list(folder.glob(f"{FLOWS}/*.safetensors")))
    assert 3 <= arrived < 12
    followed = counted(monkeypatch)
    found = map_basin(CONFIG, folder)
    assert len(followed) == 12 - arrived and len(found.flows) == 12


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "map").write_text("a file")
    with pytest.raises(BasinError, match="--name"):
        map_basin(CONFIG, tmp_path / "map")


def test_a_map_is_measured_drawn_and_shown(tmp_path, capsys):
    from rich.console import Console

    found = map_basin(CONFIG, tmp_path / "map")
    labels = GoldLabels(MEMBERS, np.ones(len(MEMBERS), dtype=bool), "planted", "test")
    measured = evaluate.measured_by(found, labels)
    numbers = measured.numbers
    assert numbers["same_fixed_point"]["reached"]["share"] == 1
    assert numbers["fixed_point_ap"] > 0.95 and numbers["ceiling_ap"] > 0.95
    assert numbers["certificate"]["all"]["precision"]["count"] >= 1
    assert numbers["held"]["median_final_ap"] <= numbers["fixed_point_ap"] + 1e-6
    assert [row["kind"] for row in measured.by_kind][:2] == ["topic", "noise"]
    assert all(row["trained_once_ap"] <= row["final_ap"] + 0.02 for row in measured.by_kind[:2])
    evaluate.draw(found, labels, tmp_path / "map")
    assert (tmp_path / "map" / evaluate.PICTURE).read_bytes().startswith(b"\x89PNG")
    show_map(found, measured, tmp_path / "map", Console(width=100))
    shown = capsys.readouterr().out
    assert "12 starts" in shown and "against gold (planted)" in shown and "same fixed point: 1.000" in shown
