"""Rounds on disk: whole or absent, equal when read back, and damage that does not go unnoticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planted_forgery import seal_again
from planted_run import CONFIG, planted_passages, planted_pointer, planted_record, save_rounds

from agent.errors import BasinError
from loops.checkpoint import atomic
from loops.checkpoint.find import find_run, fresh_path
from loops.checkpoint.schema import SCHEMA
from loops.checkpoint.store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "run", CONFIG)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = RunStore.create(tmp_path_factory.mktemp("planted") / "run", CONFIG)
    save_rounds(made, 3)
    return made.path


@pytest.fixture
def stored(planted: Path, tmp_path: Path) -> RunStore:
    """A copy of a run of three rounds, 0 to 2."""
    return RunStore.open(shutil.copytree(planted, tmp_path / "run"))


def _plain(value: Any) -> Any:
    """Records, arrays and tensors as dictionaries and bytes, which can be compared."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.dtype, value.shape, np.asarray(value).tobytes()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def test_a_round_is_read_back_to_the_bit(stored: RunStore) -> None:
    record = planted_record(3)
    odd = replace(record.generated[0], text="half a \ud83d\n\x00\u2028 letter", loss=5e-324)
    record = replace(record, generated=(odd, record.generated[1]))
    stored.save(record)
    again = RunStore.open(stored.path)
    assert _plain(again.load(3)) == _plain(record)
    assert again.config == CONFIG and again.rounds() == [0, 1, 2, 3]


def test_round_0_needs_no_readout_no_vector_and_no_samples(stored: RunStore) -> None:
    assert _plain(stored.load(0)) == _plain(planted_record(0))


def test_pointer_and_passages_are_read_back_equal(stored: RunStore) -> None:
    again = RunStore.open(stored.path)
    assert _plain(again.load_pointer()) == _plain(planted_pointer())
    assert again.load_passages() == planted_passages()


def test_a_metric_that_is_not_finite_is_refused_before_writing(store: RunStore) -> None:
    with pytest.raises(ValueError):
        store.save(
            replace(planted_record(0), metrics={"drift": float("nan")}), planted_passages(), planted_pointer()
        )
    assert store.rounds() == [] and not list(store.path.glob("*round*"))


def test_a_process_killed_before_the_rename_leaves_no_round(stored: RunStore) -> None:
    # Every file and the manifest are on the disk by then: the last moment before the round exists.
    script = (
        "import os, sys; from pathlib import Path; from loops.checkpoint import atomic\n"
        "os.rename = lambda *names: os._exit(9)\n"
        "atomic.write_folder(Path(sys.argv[1]), {'round.json': b'{}'}, {'round': 3})\n"
    )
    root = Path(__file__).resolve().parents[3]
    target = stored.path / "round_003"
    killed = subprocess.run([sys.executable, "-c", script, str(target)], cwd=root)
    assert killed.returncode == 9
    drafts = list(stored.path.glob(".round_003.tmp-*"))
    assert len(drafts) == 1 and (drafts[0] / "manifest.json").exists()
    assert not target.exists() and stored.rounds() == [0, 1, 2]
    with pytest.raises(BasinError):
        stored.load(3)

    assert stored.load_newest().round == 2
    assert not list(stored.path.glob(".round_003.tmp-*"))
    stored.save(planted_record(3))
    assert stored.rounds() == [0, 1, 2, 3]


def test_a_full_disk_is_one_sentence_and_keeps_the_rounds(
    stored: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = atomic._write_synced

    def full(path: Path, content: bytes) -> None:
        if path.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_write_synced", full)
        with pytest.raises(BasinError, match="No space left on device"):
            stored.save(planted_record(3))
    assert stored.rounds() == [0, 1, 2] and not list(stored.path.glob(".round*"))
    assert _plain(stored.load_newest()) == _plain(stored.load(2))
    stored.save(planted_record(3))
    assert stored.rounds() == [0, 1, 2, 3]


def test_a_run_without_whole_rounds_has_no_newest(store: RunStore) -> None:
    assert store.load_newest() is None
    store.save(planted_record(0), planted_passages(), planted_pointer())
    (store.path / "round_000" / "passages.json").write_bytes(b"[]")
    assert store.load_newest() is None and store.rounds() == []


@pytest.mark.parametrize("where", ["run.json", "round_001/manifest.json"])
@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (SCHEMA + 1, "newer"),
        (SCHEMA - 1, rf"older Basin \(format {SCHEMA - 1}, this one reads {SCHEMA}\): start"),
    ],
)
def test_another_format_is_refused_with_the_remedy(
    stored: RunStore, where: str, schema: int, sentence: str
) -> None:
    file = stored.path / where
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": schema}))
    with pytest.raises(BasinError, match=sentence):
        RunStore.open(stored.path).load(1)
    assert (stored.path / "round_002" / "manifest.json").exists()


def test_an_adapter_is_stored_in_the_layout_of_peft(stored: RunStore) -> None:
    folder = stored.path / "round_002" / "adapter"
    assert {file.name for file in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert stored.load(1).concept.adapter is None
    loaded = stored.load(2).concept.adapter
    assert loaded.files() == planted_record(2).concept.adapter.files()


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BasinError, match="nowhere"):
        RunStore.open(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "run.json").write_text('{"scripts": {}}')
    with pytest.raises(BasinError, match="photos"):
        RunStore.open(tmp_path / "photos")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(BasinError, match="notes"):
        RunStore.open(tmp_path / "notes")
    with pytest.raises(BasinError, match="notes"):
        RunStore.create(tmp_path / "notes", CONFIG)
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["a.txt"]


def test_a_run_with_rounds_is_not_begun_anew_but_an_empty_one_is(stored: RunStore, tmp_path: Path) -> None:
    with pytest.raises(BasinError, match="basin resume run"):
        RunStore.create(stored.path, CONFIG)
    assert stored.rounds() == [0, 1, 2]
    RunStore.create(tmp_path / "empty", CONFIG)
    other = CONFIG.model_copy(update={"seed": 5})
    assert RunStore.open(RunStore.create(tmp_path / "empty", other).path).config == other


def test_settings_that_differ_from_round_0_are_named(stored: RunStore) -> None:
    topics = {**CONFIG.topics.model_dump(mode="json"), "count": 31}
    change = lambda tree: {**tree, "config": {**tree["config"], "topics": topics, "rounds": 9}}  # noqa: E731
    seal_again(stored.path / "run.json", change)
    with pytest.raises(BasinError, match=r"\(topics\.count\)"):
        RunStore.open(stored.path)


def test_two_writers_cannot_share_a_run(stored: RunStore) -> None:
    with stored.exclusive(), pytest.raises(BasinError), RunStore.open(stored.path).exclusive():
        pytest.fail("both got in")
    with stored.exclusive():
        stored.save(planted_record(3))
    with pytest.raises(BasinError, match="Round 3"):
        stored.save(planted_record(3))


def test_runs_are_found_by_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIN_CHECKPOINTS", str(tmp_path))
    store = RunStore.create(tmp_path / "brown", CONFIG)
    assert fresh_path("brown") == store.path  # nothing in it yet
    store.save(planted_record(0), planted_passages(), planted_pointer())
    assert find_run("brown") == store.path == find_run(str(store.path))
    assert fresh_path("brown") == tmp_path / "brown-2" and fresh_path("grey") == tmp_path / "grey"
    with pytest.raises(BasinError, match="brown"):
        find_run("bron")


@pytest.mark.parametrize("left", [[], [".run.json.tmp-7"]])
def test_a_run_killed_before_run_json_begins_again(tmp_path, left):
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).write_text("{")
    store = RunStore.create(tmp_path / "run", CONFIG)
    assert RunStore.open(tmp_path / "run").config == CONFIG and store.rounds() == []
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["run.json"]
