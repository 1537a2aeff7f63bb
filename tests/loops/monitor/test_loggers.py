"""Loggers get every round once across resumes, stay off the network, and never stop a run."""

import os
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from planted_log import listening
from planted_run import save_rounds
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.monitor import loggers
from loops.monitor.loggers import RunLoggers, require_loggers, scalars
from loops.records import Generated


def _config(**logging: object):
    tree = {"corpus": {"source": "somewhere"}, "rounds": 4}
    return parse_config(tree | ({"logging": logging} if logging else {}), "test")


def _store(tmp_path: Path, **logging: object) -> RunStore:
    store = RunStore.create(tmp_path / "run", _config(**logging))
    save_rounds(store, 4)
    return store


@pytest.fixture(params=["trackio", "wandb"])
def fake(request, monkeypatch) -> Iterator[types.ModuleType]:
    """A module in the tracker's place that keeps its calls."""
    module = types.ModuleType(request.param)
    module.begun, module.told, module.ended, module.breaks = [], [], [], False

    def log(metrics: dict[str, float], step: int) -> None:
        if module.breaks:
            raise RuntimeError("the server is gone. Sorry")
        module.told.append((step, metrics))

    def init(**settings: object) -> types.SimpleNamespace:
        module.begun.append({**settings, "space in environment": os.environ.get("TRACKIO_SPACE_ID")})
        return types.SimpleNamespace(log=log, finish=lambda: module.ended.append(len(module.told)))

    module.init = init
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, request.param, module)
    yield module


def _records(store: RunStore, count: int):
    return [store.load(number) for number in range(count)]


def _log(store: RunStore, *counts: int) -> list[str]:
    """Log that many rounds after one another in one process; return the messages."""
    with listening() as heard, RunLoggers(store) as opened:
        for number, count in enumerate(counts):
            (opened.round_done if number else opened.begin)(_records(store, count))
    return heard.messages


def _read(store: RunStore) -> EventAccumulator:
    sizes = {"scalars": 0, "tensors": 0, "histograms": 0}
    return EventAccumulator(str(store.path / "events"), size_guidance=sizes).Reload()


def _steps(reader: EventAccumulator, name: str = "concept/drift") -> list[int]:
    return [each.step for each in reader.Scalars(name)]


def test_tensorboard_is_the_default_and_trackers_are_off(tmp_path):
    store = RunStore.create(tmp_path / "run", _config())
    save_rounds(store, 2)
    assert store.config.logging.to == ("tensorboard",) and not store.config.logging.online
    assert _log(store, 1, 2) == [] and _steps(_read(store)) == [0, 1]
    without = _store(tmp_path / "without", to=[])
    assert _log(without, 3) == [] and not (without.path / "events").exists()


def test_every_round_is_logged_once_across_resumes(tmp_path, fake):
    store = _store(tmp_path, to=[fake.__name__])
    _log(store, 1, 2)
    _log(RunStore.open(store.path), 2, 3, 4)
    assert [step for step, _ in fake.told] == [0, 1, 2, 3]
    assert fake.told[1][1]["concept/drift"] == pytest.approx(0.3)
    assert len(fake.begun) == 2 and fake.ended == [2, 4]
    assert fake.begun[0] == fake.begun[1] and fake.begun[0]["resume"] == "allow"
    _log(store, 4)
    assert len(fake.begun) == 2  # nothing new, nothing opened


def test_trackers_stay_offline_by_default(tmp_path, fake, monkeypatch):
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/space")
    monkeypatch.setenv("WANDB_MODE", "online")
    _log(_store(tmp_path, to=[fake.__name__]), 1)
    space = {"space": "me/mine"} if fake.__name__ == "trackio" else {}
    _log(_store(tmp_path / "online", to=[fake.__name__], online=True, project="books", **space), 1)
    silent, sent = fake.begun
    assert silent.get("mode", "offline") == "offline" and "space_id" not in silent
    assert fake.__name__ == "wandb" or silent["space in environment"] is None
    assert os.environ["TRACKIO_SPACE_ID"] == "somebody/space"
    assert sent["project"] == "books" and (sent.get("mode") == "online" or sent.get("space_id") == "me/mine")


def test_a_logger_that_fails_is_reported_once_and_left_out(tmp_path, fake):
    fake.breaks = True
    store = _store(tmp_path, to=[fake.__name__, "tensorboard"])
    messages = _log(store, 1, 2, 3)
    assert messages == [f"Logging to {fake.__name__} failed (the server is gone); the run continues."]
    assert _steps(_read(store)) == [0, 1, 2]
    fake.breaks = False
    _log(store, 4)  # a resume catches up
    assert [step for step, _ in fake.told] == [0, 1, 2, 3]


def test_missing_packages_are_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: name != "wandb" or None)
    require_loggers(_config(to=["tensorboard", "trackio"]).logging)
    with pytest.raises(BasinError, match="pip install wandb"):
        require_loggers(_config(to=["wandb"]).logging)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"to": ["mlflow"]}, "logging.to"), ({"space": "me/mine"}, "online")]
    + [({"space": "me/mine", "online": True}, "trackio")],
)
def test_wrong_settings_are_refused(wrong, named):
    with pytest.raises(BasinError, match=named):
        _config(**wrong)


@pytest.fixture
def store(tmp_path) -> RunStore:
    return _store(tmp_path)


def test_every_number_of_every_round_reads_back(store):
    _log(store, 4)
    found = _read(store)
    expected = {name for number in range(4) for name in scalars(store.load(number))}
    assert set(found.Tags()["scalars"]) == expected and "cost/peak_gb" in expected
    assert _steps(found, "cost/seconds_record") == [1, 2, 3]
    assert found.Scalars("cost/seconds")[0].value == pytest.approx(1.5)
    assert [each.step for each in found.Histograms("concept/membership")] == [0, 1, 2, 3]
    for step, each in enumerate(found.Scalars("concept/drift")):
        assert (each.step, each.value) == (step, pytest.approx(0.3))
        manifest = store.path / f"round_{step:03d}" / "manifest.json"
        assert each.wall_time == pytest.approx(manifest.stat().st_mtime)
    config = found.Tensors("run/config/text_summary")
    assert [each.step for each in config] == [0] and b"    rounds: 4" in config[0].tensor_proto.string_val[0]


def test_a_resumed_run_neither_repeats_nor_skips_a_step(store):
    _log(store, 1, 2)
    watching = _read(store)  # as a TensorBoard that stays open
    (store.path / "events" / "tensorboard.json").write_text("half")  # killed before the round was noted
    _log(store, 2, 3, 4)
    watching.Reload()
    for reader in (watching, _read(store)):
        assert _steps(reader) == _steps(reader, "concept/size") == [0, 1, 2, 3]


def test_rounds_that_were_set_aside_disappear(store):
    for counts, steps in (((4,), [0, 1, 2, 3]), ((2,), [0, 1]), ((2, 3), [0, 1, 2])):
        _log(store, *counts)
        assert _steps(_read(store)) == steps


def test_texts_cannot_act_in_tensorboard(store):
    text = ' ![x](http://a.b/c) <img src="x"> `code`\n# not a heading \udc80'
    hostile = Generated("steered", "Up", text, 1, 0.9, True, 1.0)
    with RunLoggers(store) as opened:
        opened.begin([replace(store.load(1), generated=(hostile,))])
    text = _read(store).Tensors("written/steered/text_summary")[0].tensor_proto.string_val[0].decode()
    shown = markdown_to_safe_html(text)
    assert "membership 0.90" in shown and "# not a heading" in shown
    assert not any(tag in shown for tag in ("<img", "<h1", "<a ")) and shown.count("<code>") == 1
