"""Runs of every past format are read, and gone on with, by today's code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.errors import BasinError
from loops.checkpoint.migrations import STEPS, migrated_settings
from loops.checkpoint.schema import OLDEST, SCHEMA
from loops.checkpoint.store import RunStore

RUNS = Path(__file__).parents[2] / "stored_runs"
NAMES = sorted(path.name for path in RUNS.iterdir())


@pytest.fixture(params=NAMES)
def old(request, tmp_path: Path) -> RunStore:
    shutil.copytree(RUNS / request.param, tmp_path / request.param)
    return RunStore.open(tmp_path / request.param)


def test_there_is_a_run_of_every_past_format() -> None:
    kept = {json.loads((RUNS / name / "run.json").read_bytes())["schema"] for name in NAMES}
    assert kept == set(range(OLDEST, SCHEMA + 1)) and set(STEPS) == kept - {SCHEMA}


def test_an_old_run_is_read_whole_and_without_a_remark(old: RunStore) -> None:
    assert old.remarks == () and old.every() == old.rounds() == [0, 1, 2]
    records = [old.load(number) for number in old.rounds()]
    assert len(old.load_passages().passages) == len(records[0].concept.membership) == 36
    assert old.load_pointer().model.count == 3
    assert [record.concept.can_write for record in records] == [True] * 3
    with_adapter = [record.concept.adapter is not None for record in records]
    assert with_adapter == [False, False, old.name != "format_3"]
    assert old.load_newest(pytest.fail).round == 2


def test_what_an_old_run_wrote_is_what_is_read(old: RunStore) -> None:
    for number in old.rounds():
        folder, record = old.path / f"round_{number:03d}", old.load(number)
        assert record.metrics == json.loads((folder / "round.json").read_bytes())
        samples = json.loads((folder / "samples.json").read_bytes())
        assert [sample.text for sample in record.generated] == [each["text"] for each in samples]
        assert record.concept.size == json.loads((folder / "concept.json").read_bytes())["size"]


def test_an_old_run_goes_on_in_the_new_format_and_stays_readable(old: RunStore) -> None:
    import dataclasses

    last = old.load(2)
    concept = dataclasses.replace(last.concept, round=3)
    metrics = {**last.metrics, "round": 3}
    old.save(dataclasses.replace(last, round=3, concept=concept, metrics=metrics))
    manifest = json.loads((old.path / "round_003" / "manifest.json").read_bytes())
    assert manifest["schema"] == SCHEMA and len(manifest["follows"]) == 64
    again = RunStore.open(old.path)
    assert again.load(3).round == 3 and again.load(2).round == 2 and again.load_newest(pytest.fail).round == 3


def test_changing_an_old_round_is_noticed_by_the_new_one_after_it(old: RunStore) -> None:
    test_an_old_run_goes_on_in_the_new_format_and_stays_readable(old)
    manifest = old.path / "round_002" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")  # says the same, and is not the one that was followed
    with pytest.raises(BasinError, match="does not follow"):
        old.load(3)


@pytest.mark.parametrize(("steered", "nats"), [(False, 0.0), (True, 0.3)])
def test_a_setting_that_has_gone_is_told_in_today_s(steered: bool, nats: float) -> None:
    tree = {"updating": {"adapter_steered": steered, "budget_nats": 0.3}, "seed": 1}
    assert migrated_settings(tree) == {"updating": {"budget_nats": 0.3, "adapter_nats": nats}, "seed": 1}
    assert migrated_settings({"updating": []}) == {"updating": []} and migrated_settings({}) == {}
