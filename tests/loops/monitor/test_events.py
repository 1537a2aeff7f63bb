"""TensorBoard's files: made of whole rounds, no step twice, none lost, and no text that acts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from planted_run import CONFIG, planted_record, save_rounds
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from loops.checkpoint.store import RunStore
from loops.monitor.events import keep_events, scalars
from loops.records import Generated


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path / "run", CONFIG)
    save_rounds(store, 4)
    return store


def _keep(store: RunStore, *numbers: int) -> None:
    keep_events(store.path, [store.load(number) for number in numbers], CONFIG.model_dump(mode="json"))


def _read(store: RunStore) -> EventAccumulator:
    found = EventAccumulator(
        str(store.path / "events"), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0}
    )
    return found.Reload()


def _files(store: RunStore) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (store.path / "events").iterdir()}


def test_every_number_of_every_round_reads_back(store: RunStore) -> None:
    _keep(store, 0, 1, 2, 3)
    found = _read(store)
    drifts = found.Scalars("concept/drift")
    assert [(each.step, each.value) for each in drifts] == [(step, pytest.approx(0.3)) for step in range(4)]
    expected = {name for number in range(4) for name in scalars(store.load(number))}
    assert set(found.Tags()["scalars"]) == expected and "cost/peak_gb" in expected
    assert [each.step for each in found.Scalars("cost/seconds_record")] == [1, 2, 3]
    assert found.Scalars("cost/seconds")[0].value == pytest.approx(1.5)
    assert [each.step for each in found.Histograms("concept/membership")] == [0, 1, 2, 3]
    assert all(
        each.wall_time == pytest.approx((store.path / f"round_{each.step:03d}/manifest.json").stat().st_mtime)
        for each in drifts
    )


def test_numbers_are_grouped_and_names_are_no_numbers() -> None:
    metrics = {
        "round": 3,
        "topic": 7,
        "drift": 0.5,
        "agreement": 0.25,
        "teach_loss": 2,
        "stop": None,
        "still": True,
        "words": "a b",
    }
    record = replace(planted_record(1), metrics=metrics, cost={})
    assert scalars(record) == {"concept/drift": 0.5, "writing/agreement": 0.25, "training/teach_loss": 2.0}


def test_a_resumed_run_neither_repeats_nor_loses_a_step(store: RunStore) -> None:
    _keep(store, 0, 1)
    before = _files(store)
    watching = _read(store)  # as a TensorBoard that stays open
    _keep(store, 0, 1, 2, 3)
    after = _files(store)
    assert {name: after[name] for name in before} == before and len(after) == 4
    watching.Reload()
    for reader in (watching, _read(store)):
        assert [each.step for each in reader.Scalars("concept/size")] == [0, 1, 2, 3]
    for file in (store.path / "events").iterdir():
        file.unlink()
    _keep(store, 0, 1, 2, 3)
    assert _files(store) == after  # made of the rounds alone


def test_what_belongs_to_no_round_goes(store: RunStore) -> None:
    _keep(store, 0, 1, 2, 3)
    (store.path / "events" / "trackio.json").write_text("{}")
    _keep(store, 0, 1)  # the later ones were damaged and set aside
    assert [each.step for each in _read(store).Scalars("concept/drift")] == [0, 1]
    assert (store.path / "events" / "trackio.json").exists()


def test_what_a_killed_process_left_is_no_event_file(store: RunStore) -> None:
    _keep(store, 0)
    (store.path / ".events.tmp-1").write_bytes(b"half")
    assert [each.step for each in _read(store).Scalars("concept/drift")] == [0]
    store.load_newest()
    assert not (store.path / ".events.tmp-1").exists()


def test_rounds_are_the_same_bytes_with_and_without(store: RunStore, tmp_path: Path) -> None:
    other = RunStore.create(tmp_path / "other", CONFIG)
    _keep(store, 0, 1, 2, 3)
    save_rounds(other, 4)
    for number in range(4):
        names = [path / f"round_{number:03d}" / "round.json" for path in (store.path, other.path)]
        assert names[0].read_bytes() == names[1].read_bytes()
    assert store.load(3).metrics == other.load(3).metrics


def test_texts_are_shown_as_they_are(store: RunStore) -> None:
    hostile = Generated(
        "steered", "Up", ' ![x](http://a.b/c) <img src="x"> `code`\n# not a heading \udc80', 1, 0.9, True, 1.0
    )
    record = replace(store.load(1), generated=(hostile,))
    keep_events(store.path, [record], {"corpus": {"source": "a [b] né"}})
    text = _read(store).Tensors("written/steered/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "membership 0.90" in text
    assert (
        "![" not in text and "<img" not in text and r"\!\[x\]\(http\:" in text and r"\# not a heading" in text
    )


def test_the_configuration_is_kept_with_round_0(store: RunStore) -> None:
    _keep(store, 0, 1)
    found = _read(store).Tensors("run/config/text_summary")
    assert [each.step for each in found] == [0] and b"    rounds: 4" in found[0].tensor_proto.string_val[0]
