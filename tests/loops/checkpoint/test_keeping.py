"""Verify and fork on a stored run."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import typer.testing
from planted_run import CONFIG, contents, planted_record, save_rounds

from loops.checkpoint.fork import fork
from loops.checkpoint.store import RunStore
from loops.cli.main import app
from loops.diagnostics.verify import verify


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = RunStore.create(tmp_path_factory.mktemp("planted") / "run", CONFIG)
    save_rounds(made, 6)
    return made.path


@pytest.fixture
def store(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A copy of a run of six rounds, 0 to 5."""
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    return RunStore.open(shutil.copytree(planted, tmp_path / "run"))


def basin(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_whole_run_is_whole(store: RunStore) -> None:
    found = verify(store.path)
    assert found.whole and not found.remarks and [each.kind for each in found.rounds] == ["whole"] * 6
    done = basin("verify", "run")
    assert done.exit_code == 0 and "Every file is as written" in done.output


def test_verify_names_each_problem_and_exits_with_1(store: RunStore) -> None:
    file = store.path / "round_003" / "samples.json"
    file.write_bytes(file.read_bytes().replace(b"hill", b"hall"))
    shutil.rmtree(store.path / "round_004")
    (store.path / "round_002" / "notes.txt").write_text("mine")
    (store.path / "round_001" / "link").symlink_to("/etc/passwd")
    (store.path / "certificate.json").write_bytes(b'{"round": 5}')
    before = contents(store.path)
    done = basin("verify", "run")
    assert done.exit_code == 1
    problems = " ".join(done.output.split())
    for part in (
        "Round 3 of run is damaged (samples.json is not what was written)",
        "Round 4 is missing",
        "round_002/notes.txt is not in the manifest",
        "round_001/link is a link",
    ):
        assert part in problems
    assert contents(store.path) == before


def test_folders_moved_aside_are_remarks(store: RunStore) -> None:
    (store.path / "damaged_round_006_1").mkdir()
    (store.path / "holiday.jpg").write_bytes(b"jpg")
    found = verify(store.path)
    assert found.whole and len(found.remarks) == 2


def test_a_fork_copies_rounds_and_records_its_origin(store: RunStore) -> None:
    before = contents(store.path)
    done = basin("fork", "run", "--round", 3, "--set", "clustering.folds=3", "--set", "rounds=9")
    assert done.exit_code == 0, done.output
    made = RunStore.open(store.path.with_name("run-fork"))
    assert contents(store.path) == before and made.rounds() == [0, 1, 2, 3]
    assert made.config.clustering.folds == 3 and made.config.rounds == 9 and verify(made.path).whole
    origin = made.about["origin"]
    assert origin["forked_from"] == "run" and origin["from_round"] == 3 and origin["lineage"] == ["run"]
    assert origin["changed"] == {"clustering.folds": [CONFIG.clustering.folds, 3], "rounds": [4, 9]}
    manifest = (store.path / "round_003" / "manifest.json").read_bytes()
    assert origin["from_manifest"] == hashlib.sha256(manifest).hexdigest()
    for name in ("round.json", "samples.json", "tensors.safetensors"):
        assert before[f"round_003/{name}"] == (made.path / "round_003" / name).read_bytes()
    made.save(planted_record(4))
    assert made.load(4).round == 4 and made.load_newest().round == 4
    shown = basin("inspect", "run-fork").output
    assert "Forked from run after round 3 (clustering.folds=3, rounds=9)." in shown
    assert basin("fork", "run", "--set", "seed=7").exit_code == 0
    assert store.path.with_name("run-fork-2").is_dir()
    again, _ = fork(made, None, [], store.path.parent / "third")
    assert again.about["origin"]["lineage"] == ["run", "run-fork"]


@pytest.mark.parametrize(
    "setting",
    [
        *("corpus.source=elsewhere", "passages.words=99", "topics.count=3", "language_model.name=other"),
        *("language_model.layers=[1]", "coherence.words=20", "updating.degenerate=3"),
        *("pointer.keywords=[ship]", "updating.start_vector=v.gguf"),
    ],
)
def test_a_fork_refuses_settings_that_rounds_depend_on(store: RunStore, setting: str) -> None:
    done = basin("fork", "run", "--set", setting)
    assert done.exit_code == 1 and f"{setting.split('=')[0]} cannot be changed in a fork" in done.stderr
    assert not store.path.with_name("run-fork").exists()


def test_a_fork_may_change_the_batch_size(store: RunStore) -> None:
    assert basin("fork", "run", "--set", "language_model.batch_tokens=64").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--round", 9), "no round 9"),
        (("--set", "clustering.fods=3"), "clustering.folds"),
        (("--set", "rounds"), "has no '='"),
        (("--name", "run"), "exists already"),
    ],
)
def test_mistakes_in_a_fork_give_one_sentence(store: RunStore, arguments: tuple, part: str) -> None:
    done = basin("fork", "run", *arguments)
    assert done.exit_code == 1 and part in done.stderr and len(done.stderr.strip().splitlines()) == 1
