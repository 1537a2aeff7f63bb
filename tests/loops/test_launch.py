"""One run by two processes of a launch is the run of one process, and ends in a sentence where one is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from planted_project import make_project, settings, write_config

from agent.processes import count, launched
from loops.checkpoint.store import RunStore

ROOT = Path(__file__).parents[2]
ACCELERATE = Path(sys.executable).with_name("accelerate")
PAIR = [str(ACCELERATE), "launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    make_project(folder)
    write_config(folder / "long.yaml", settings(folder, "adapter", rounds=60))
    return folder


def _start(project: Path, *arguments: str, pair: bool = True) -> subprocess.Popen[str]:
    before = PAIR if pair else [sys.executable]
    environment = os.environ | {"BASIN_CHECKPOINTS": str(project / "checkpoints"), "OMP_NUM_THREADS": "1"}
    command = [*before, "-m", "loops.cli", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def _done(project: Path, *arguments: str, pair: bool = True) -> str:
    process = _start(project, *arguments, pair=pair)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def _store(project: Path, name: str) -> RunStore:
    return RunStore.open(project / "checkpoints" / name)


def test_without_a_launch_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # as a cluster's scheduler may leave it
    monkeypatch.delenv("RANK", raising=False)
    assert launched() == count() == 1


def test_two_processes_make_the_run_of_one(project: Path) -> None:
    config = str(project / "adapter.yaml")
    _done(project, "run", config, "--name", "alone", pair=False)
    output = _done(project, "run", config, "--name", "shared")
    assert "2 processes record, write and teach together" in output
    alone, shared = _store(project, "alone"), _store(project, "shared")
    assert alone.rounds() == shared.rounds() == [0, 1, 2, 3]
    for number in alone.rounds():
        one, two = alone.load(number), shared.load(number)
        assert np.abs(one.concept.membership - two.concept.membership).max() < 1e-4
        assert [each.text for each in one.generated] == [each.text for each in two.generated]
        assert np.allclose(*([each.loss for each in record.generated] for record in (one, two)), atol=1e-4)
        assert np.allclose(one.activations, two.activations, atol=1e-4)
        places = [store.path / f"round_{number:03d}" for store in (alone, shared)]
        files = [sorted(file.name for file in place.iterdir()) for place in places]
        assert files[0] == files[1]
        for name, weight in one.concept.adapter.tensors.items() if one.concept.adapter else ():
            assert float((weight - two.concept.adapter.tensors[name]).abs().max()) < 1e-3


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_all_and_one_process_resumes(project: Path, lost: int) -> None:
    name, config = f"lost{lost}", str(project / "long.yaml")
    launch = _start(project, "run", config, "--name", name)
    until = time.monotonic() + 120
    while not (project / "checkpoints" / name / "round_001").exists():
        assert launch.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    os.kill(_member(launch.pid, lost), signal.SIGKILL)
    killed = time.monotonic()
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode != 0 and time.monotonic() - killed < 30
    if lost:  # the first process is there to say it
        assert "Another process of this launch ended" in output or "whole rounds are kept" in output
    kept = len(_store(project, name).rounds())
    _done(project, "resume", name, "--rounds", str(kept), pair=False)
    assert _store(project, name).rounds() == [*range(kept + 1)]


def _member(launcher: int, number: int) -> int:
    """The process of a launch with this number."""
    for each in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"\0RANK={number}\0".encode() in Path(f"/proc/{each}/environ").read_bytes():
            return int(each)
    raise AssertionError(f"there is no process {number}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["inspect", "alone"], "Only basin run and basin resume are for accelerate launch"),
        (
            ["run", "{}/adapter.yaml", "--name", "odd", "--set", "updating.adapting.lora.batch=3"],
            "is not shared evenly",
        ),
    ],
)
def test_a_mistake_is_said_once(project: Path, arguments: list[str], sentence: str) -> None:
    launch = _start(project, *(each.format(project) for each in arguments))
    output, _ = launch.communicate(timeout=120)
    assert launch.returncode != 0 and len(re.findall("^Error: ", output, re.M)) == 1
    assert sentence in " ".join(output.split())


def test_other_versions_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "meet.py"
    script.write_text(
        "import os; from agent import processes\n"
        "try: processes.join({'torch': f\"2.{os.environ['RANK']}\"})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "processes.leave(finished=False)\n"
    )
    done = subprocess.run(
        [*PAIR, str(script)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "BasinError" in done.stdout and "has torch 2.1, and" in done.stdout, done.stdout + done.stderr
