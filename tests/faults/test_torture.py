"""A small torture: a run killed a few times ends with the same bytes, and failures are found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import torture
from benchmarks.torture import Bench, Ended, Failed

ROOT = Path(__file__).resolve().parents[2]


def test_killed_runs_end_with_the_bytes_of_undisturbed_ones(tmp_path):
    # A process of its own: the torture forks, and this one has threads.
    command = [sys.executable, "-m", "benchmarks.torture", "--kills", "6", "--only", "kills"]
    command += ["--folder", str(tmp_path / "place"), "--results", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "torture.json").read_text())["rows"]
    assert rows[-1]["name"] == "all" and rows[-1]["survived"] == rows[-1]["tried"] >= 6


def test_other_bytes_and_leftovers_are_found(tmp_path, monkeypatch):
    bench = Bench(tmp_path, "one")
    folder = bench.run / "round_000"
    folder.mkdir(parents=True)
    for name in ("round.json", "cost.json", "manifest.json"):
        (folder / name).write_text("{}")
    whole = torture.contents(bench.run)
    monkeypatch.setattr(torture, "undisturbed", lambda *_: (whole, None))
    ended = Ended(0, 1.0, "saving", 0.1, "", torture.Counter())
    (folder / "cost.json").write_text("2")
    bench.must_be_whole(ended)
    (folder / "round.json").write_text("{ }")
    (bench.run / "certificate.json").write_text("{}")
    (bench.run / ".draft").touch()
    with pytest.raises(Failed, match=r"^\.draft, certificate.json, round_000/round.json$"):
        bench.must_be_whole(ended)
