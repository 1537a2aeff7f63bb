"""Verify, prune and fork on a stored run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer.testing
from planted_run import CONFIG, planted_record, save_rounds

from agent.errors import BasinError
from loops.checkpoint.fork import fork
from loops.checkpoint.prune import plan, prune
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


def pruned(store: RunStore, *rules: str) -> RunStore:
    prune(store, plan(store, rules))
    return RunStore.open(store.path)


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
    }


def test_a_whole_run_is_whole(store: RunStore) -> None:
    found = verify(store.path)
    assert found.whole and not found.remarks and [each.kind for each in found.rounds] == ["whole"] * 6
    done = basin("verify", "run")
    assert done.exit_code == 0 and "Every file is as written" in done.output
    assert json.loads(basin("verify", "run", "--json").output)["whole"] is True


def test_verify_names_each_problem_and_exits_with_1(store: RunStore) -> None:
    file = store.path / "round_003" / "samples.json"
    file.write_bytes(file.read_bytes().replace(b"hill", b"hall"))
    shutil.rmtree(store.path / "round_004")
    (store.path / "round_002" / "notes.txt").write_text("mine")
    (store.path / "round_001" / "link").symlink_to("/etc/passwd")
    (store.path / "certificate.json").write_bytes(b'{"round": 5}')
    before = contents(store.path)
    done = basin("verify", "run", "--json")
    found = json.loads(done.output)
    assert done.exit_code == 1 and not found["whole"]
    problems = " ".join(found["problems"])
    for part in (
        "Round 3 of run is damaged (samples.json is not what was written)",
        "Round 4 is missing",
        "round_002/notes.txt is not in the manifest",
        "round_001/link is a link",
    ):
        assert part in problems
    assert basin("verify", "run").exit_code == 1 and contents(store.path) == before


def test_folders_moved_aside_are_remarks(store: RunStore) -> None:
    (store.path / "damaged_round_006_1").mkdir()
    (store.path / "holiday.jpg").write_bytes(b"jpg")
    found = verify(store.path)
    assert found.whole and len(found.remarks) == 2


def test_prune_keeps_by_rules_and_never_the_first_or_the_two_newest(store: RunStore) -> None:
    kept = {rules: sorted(plan(store, rules).kept) for rules in (("last:1",), ("every:2",), ("3", "last:3"))}
    assert kept == {("last:1",): [0, 4, 5], ("every:2",): [0, 2, 4, 5], ("3", "last:3"): [0, 3, 4, 5]}
    record = replace(planted_record(6), metrics={**planted_record(6).metrics, "agreement": 0.9, "drift": 0.5})
    store.save(record)
    store.save(replace(planted_record(7), metrics={"agreement": 0.4, "drift": 0.1}))
    save_rounds(store, 2)
    assert sorted(plan(store, ["best"]).kept) == [0, 6, 8, 9]
    assert sorted(plan(store, ["best:drift"]).kept) == [0, 7, 8, 9]


@pytest.mark.parametrize(
    "rule", ["lst:3", "last", "last:0", "every:0", "best:gold", "best:coherence", "17", "-1", ""]
)
def test_an_invalid_rule_is_refused(store: RunStore, rule: str) -> None:
    with pytest.raises(BasinError, match="--keep"):
        plan(store, [rule])


def test_a_dry_run_reports_the_freed_bytes_and_changes_nothing(store: RunStore) -> None:
    before = contents(store.path)
    done = basin("prune", "run", "--keep", "last:1", "--dry-run")
    assert done.exit_code == 0 and "would be freed" in done.output and contents(store.path) == before


def test_pruned_rounds_keep_metrics_and_memberships_only(store: RunStore) -> None:
    before = {number: store.load(number) for number in store.rounds()}
    room = sum(map(len, contents(store.path).values()))
    after = pruned(store, "last:1")
    assert after.rounds() == [0, 4, 5] and after.pruned() == [1, 2, 3] and after.all_rounds() == [*range(6)]
    assert sum(map(len, contents(store.path).values())) < room
    for number in after.pruned():
        kept, was = after.load_available(number), before[number]
        assert kept.pruned and kept.metrics == was.metrics and kept.cost == was.cost
        for name in ("membership", "single", "pooled"):
            assert getattr(kept.concept, name).tobytes() == getattr(was.concept, name).tobytes()
        assert kept.concept.adapter is kept.concept.vector is kept.activations is None and not kept.generated
        with pytest.raises(
            BasinError, match=rf"Round {number} of run was pruned on 2\d{{3}}-.*choose one of 0, 4, 5"
        ):
            after.load(number)
    assert verify(store.path).whole and after.load_newest().round == 5
    save_rounds(after, 0)
    after.save(planted_record(6))
    assert after.load(6).round == 6 and pruned(after, "last:1").pruned() == [1, 2, 3, 4]
    assert verify(store.path).whole


def test_the_next_prune_completes_an_interrupted_one(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loops.checkpoint import prune

    def killed(*names: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prune.os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(store, "last:1")
    again = RunStore.open(store.path)
    assert again.all_rounds() == [*range(6)] and again.load(2).round == 2 and verify(store.path).whole
    assert pruned(again, "last:1").pruned() == [1, 2, 3] and verify(store.path).whole


def test_nothing_is_pruned_from_a_run_with_a_damaged_round(store: RunStore) -> None:
    file = store.path / "round_005" / "samples.json"
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(BasinError, match="Round 5 of run is damaged"):
        plan(store, ["last:1"])


def test_after_a_damaged_newest_round_the_last_whole_one_is_loaded(store: RunStore, messages) -> None:
    after = pruned(store, "last:1")
    shutil.rmtree(store.path / "round_004")
    (store.path / "round_005" / "concept.json").write_bytes(b"{}")
    messages.clear()
    assert after.load_newest().round == 0
    assert "Round 5 of run is damaged" in messages[0] and all(
        "is written anew" in each for each in messages[1:]
    )
    assert after.all_rounds() == [0] and len(messages) == 4


def test_a_pruned_round_of_another_run_is_noticed(store: RunStore, tmp_path: Path) -> None:
    after = pruned(store, "last:1")
    other = RunStore.create(tmp_path / "other", CONFIG.model_copy(update={"seed": 9}))
    save_rounds(other, 6)
    pruned(other, "last:1")
    shutil.rmtree(store.path / "pruned_003")
    shutil.copytree(other.path / "pruned_003", store.path / "pruned_003")
    with pytest.raises(BasinError, match="does not follow"):
        after.load_available(3)
    assert not verify(store.path).whole


def test_commands_show_pruned_runs_or_refuse_in_a_sentence(store: RunStore) -> None:
    pruned(store, "last:1")
    table = basin("inspect", "run")
    assert [line.split()[0] for line in table.output.splitlines() if line[:1].isdigit()] == list("012345")
    assert "Pruned rounds (1, 2, 3)" in table.output
    one = basin("inspect", "run", "--round", 2)
    assert (
        one.exit_code == 0
        and "generated passages were pruned" in one.output
        and "Entered since round 1" in one.output
    )
    for command in (("generate", "run", "--round", 2), ("match", "run", "--in", "lda:3", "--round", 3)):
        done = basin(*command)
        assert done.exit_code == 1 and "was pruned on" in done.stderr
    stitched = basin("stitch", "run", "--to", "nobody", "--round", 1)
    assert stitched.exit_code == 1 and "was pruned on" in stitched.stderr


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
    import hashlib

    manifest = (store.path / "round_003" / "manifest.json").read_bytes()
    assert origin["from_manifest"] == hashlib.sha256(manifest).hexdigest()
    for name in ("round.json", "samples.json", "tensors.safetensors"):
        assert before[f"round_003/{name}"] == (made.path / "round_003" / name).read_bytes()
    made.save(planted_record(4))
    assert made.load(4).round == 4 and made.load_newest().round == 4
    assert (
        "Forked from run after round 3 (clustering.folds=3, rounds=9)." in basin("inspect", "run-fork").output
    )
    assert (
        basin("fork", "run", "--set", "seed=7").exit_code == 0 and (store.path.parent / "run-fork-2").is_dir()
    )
    again, _ = fork(made, None, [], store.path.parent / "third")
    assert again.about["origin"]["lineage"] == ["run", "run-fork"]


def test_a_fork_copies_pruned_rounds(store: RunStore) -> None:
    made, _ = fork(pruned(store, "last:1"), 4, ["clustering.folds=3"], store.path.with_name("forked"))
    assert made.rounds() == [0, 4] and made.pruned() == [1, 2, 3] and verify(made.path).whole
    with pytest.raises(BasinError, match="Round 2 of run was pruned"):
        fork(RunStore.open(store.path), 2, [], store.path.with_name("no"))
    assert not store.path.with_name("no").exists()


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
