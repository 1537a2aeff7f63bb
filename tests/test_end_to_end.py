"""The main job, cut down, on the embedded model and corpus, through the command line as a person runs it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from loops.checkpoint.atomic import read_folder
from loops.checkpoint.store import RunStore

pytestmark = pytest.mark.weights

ROOT = Path(__file__).parents[1]
SMALLER = {
    "corpus.limit": 40,
    "passages.words": 90,
    "passages.per_document": 2,
    "topics.minimum_chunks": 2,  # few chunks: more would leave no word that the topic is about
}
CUT_DOWN = SMALLER | {
    "rounds": 2,
    "generation.samples": 4,
    "generation.new_tokens": 16,
    "updating.calibration_texts": 4,
    "updating.calibration_tokens": 32,
    "updating.adapter_from": 2,
    "updating.adapting.lesson.tokens": 2048,
    "updating.adapting.lesson.corpus_tokens": 2048,
    "coherence.model": "null",
    # Sixteen words of four passages say nothing about collapse.
    "tracking.minimum_coherence": 0.0,
    "tracking.maximum_repetitive": 1.0,
    "tracking.drift_bound": 0.0,
    # Eighty passages cannot tell a pointer from a shuffled one.
    "clustering.min_z_score": 0.01,
}
STARTS = {"draws": 1, "mixtures": "[0.5]", "noise": "[0.3]", "documents": "[3]", "poorer": 1}
MAPPED = SMALLER | {f"starts.{name}": value for name, value in STARTS.items()}
MAPPED |= {"clustering.components": 20, "rounds": 8, "certificate.kicks": 1, "certificate.restarts": 1}


def basin(checkpoints: Path, *arguments: object, settings: Mapping[str, object] = {}) -> str:  # noqa: B006
    """Output of a command, which must succeed."""
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "loops.cli", *map(str, arguments), *changes]
    environment = {**os.environ, "BASIN_CHECKPOINTS": str(checkpoints)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """A checkpoints folder with one finished run, `small`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    basin(folder, "run", "configs/runs/brown.yaml", "--name", "small", settings=CUT_DOWN)
    return folder


def contents(run: Path) -> dict[Path, bytes]:
    """Every file of every round."""
    return {file: file.read_bytes() for file in run.glob("round_*/**/*") if file.is_file()}


def assert_whole(run: Path, rounds: int) -> None:
    store = RunStore.open(run)
    assert store.rounds() == list(range(rounds + 1))
    for number in store.rounds():
        read_folder(run / f"round_{number:03d}")  # raises where a hash does not hold
        record = store.load(number)
        assert record.concept.can_write and record.generated
        assert 0 < record.concept.membership.mean() < 1
        assert np.isfinite(record.concept.single).all() and np.isfinite(record.activations).all()
    measured = json.loads((run / "measurements.json").read_bytes())
    assert measured["rounds"] == store.rounds()
    assert [row["round"] for row in measured["rows"]] == store.rounds()
    for row in measured["rows"]:
        assert all(0 < row[key] <= 1 for key in ("ap_topic", "ap_concept", "ap_ceiling"))
    assert "point like the topic; they correlate by 0." in (run / "run.log").read_text()


def test_a_run_leaves_whole_rounds_and_measurements(checkpoints):
    assert_whole(checkpoints / "small", rounds=2)
    store = RunStore.open(checkpoints / "small")
    pointer = store.load_pointer()
    assert {"detective", "police", "murder"} <= set(pointer.model.top_words(pointer.topic))
    texts = [each.text for each in store.load(2).generated]
    assert len(texts) == 8 and all(text.strip() for text in texts)
    corpus, own = (store.load(number).concept.adapter for number in (1, 2))
    assert corpus is not None and own is not None and own.config["r"] == 2 * corpus.config["r"]
    assert "lesson_loss" in store.load(2).metrics


def test_a_run_can_be_inspected_and_written_from(checkpoints):
    before = contents(checkpoints / "small")
    assert basin(checkpoints, "inspect", "small", "--round", 1).strip()
    written = basin(checkpoints, "generate", "small", "-n", 2, "--prompt", "The old house", "--seed", 3)
    assert written.count("The old house") == 2
    assert before == contents(checkpoints / "small")


def test_a_finished_run_goes_on(checkpoints, tmp_path):
    shutil.copytree(checkpoints / "small", tmp_path / "small")
    before = contents(tmp_path / "small")
    basin(tmp_path, "resume", "small", "--rounds", 3)
    assert_whole(tmp_path / "small", rounds=3)
    assert before == {file: file.read_bytes() for file in before}


def test_a_basin_is_mapped_on_two_processes_measured_and_drawn(tmp_path):
    command = ("map", "configs/runs/basin_brown.yaml", "--name", "small", "--workers", 2)
    output = basin(tmp_path, *command, settings=MAPPED)
    assert "against gold (detective)" in output and "same fixed point" in output
    folder = tmp_path / "small"
    mapped, measured = (json.loads((folder / name).read_bytes()) for name in ("map.json", "measured.json"))
    before = {file: file.stat().st_mtime_ns for file in (folder / "flows").iterdir()}
    assert mapped["starts"] == len(before) > 20 and 0 < measured["ceiling_ap"] <= 1
    assert (folder / "basin.png").read_bytes().startswith(b"\x89PNG")
    basin(tmp_path, *command, settings=MAPPED)
    assert before == {file: file.stat().st_mtime_ns for file in (folder / "flows").iterdir()}
