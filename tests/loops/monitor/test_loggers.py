"""Loggers are asked for, told every round once across resumes, kept off the network, and never a reason to stop."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from planted_run import save_rounds

from agent.errors import BasinError
from loops.checkpoint.store import RunStore
from loops.config import parse_config
from loops.monitor import loggers
from loops.monitor.loggers import open_logs, require_loggers


def _config(**logging: object):
    return parse_config({"corpus": {"source": "somewhere"}, "logging": logging}, "test")


def _store(tmp_path: Path, **logging: object) -> RunStore:
    store = RunStore.create(tmp_path / "run", _config(**logging))
    save_rounds(store, 4)
    return store


@pytest.fixture(params=["trackio", "wandb"])
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module in the tracker's place that remembers what it is told."""
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
    said: list[str] = []
    with open_logs(store, said.append) as opened:
        for count in counts:
            opened.keep(_records(store, count))
    return said


def test_tensorboard_is_the_default_and_trackers_are_off(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "run", parse_config({"corpus": {"source": "somewhere"}}, "test"))
    save_rounds(store, 2)
    assert store.config.logging.to == ("tensorboard",) and not store.config.logging.online
    assert _log(store, 1, 2) == []
    assert len(list((store.path / "events").iterdir())) == 2


def test_nothing_is_written_where_nothing_is_asked_for(tmp_path: Path) -> None:
    store = _store(tmp_path, to=[])
    assert _log(store, 3) == [] and not (store.path / "events").exists()


def test_every_round_is_told_once_across_resumes(tmp_path: Path, fake: types.ModuleType) -> None:
    store = _store(tmp_path, to=[fake.__name__])
    _log(store, 1, 2)
    _log(RunStore.open(store.path), 2, 3, 4)
    assert [step for step, _ in fake.told] == [0, 1, 2, 3]
    assert fake.told[1][1]["concept/drift"] == pytest.approx(0.3)
    assert len(fake.begun) == 2 and fake.ended == [2, 4]
    assert fake.begun[0] == fake.begun[1] and fake.begun[0]["resume"] == "allow"
    _log(store, 4)
    assert len(fake.begun) == 2  # nothing to tell, nothing opened


def test_a_run_begun_anew_under_the_same_name_is_another(tmp_path: Path, fake: types.ModuleType) -> None:
    store = _store(tmp_path, to=[fake.__name__])
    _log(store, 2)
    about = store.path / "run.json"
    about.write_text(about.read_text().replace(store.about["created"], "2020-01-01T00:00:00+00:00"))
    _log(store, 1)
    assert [step for step, _ in fake.told] == [0, 1, 0]
    names = [begun.get("id", begun["name"]) for begun in fake.begun]
    assert names[0] != names[1]


def test_nothing_is_sent_unless_asked(
    tmp_path: Path, fake: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/space")
    monkeypatch.setenv("WANDB_MODE", "online")
    _log(_store(tmp_path, to=[fake.__name__]), 1)
    begun = fake.begun[0]
    assert begun.get("mode", "offline") == "offline" and "space_id" not in begun
    assert fake.__name__ == "wandb" or begun["space in environment"] is None
    assert os.environ["TRACKIO_SPACE_ID"] == "somebody/space"


def test_what_is_asked_for_is_sent(tmp_path: Path, fake: types.ModuleType) -> None:
    space = {"space": "me/mine"} if fake.__name__ == "trackio" else {}
    _log(_store(tmp_path, to=[fake.__name__], online=True, project="books", **space), 1)
    begun = fake.begun[0]
    assert begun["project"] == "books"
    assert begun.get("mode") == "online" or begun.get("space_id") == "me/mine"


def test_a_logger_that_fails_is_said_once_and_the_rest_goes_on(
    tmp_path: Path, fake: types.ModuleType
) -> None:
    fake.breaks = True
    store = _store(tmp_path, to=[fake.__name__, "tensorboard"])
    said = _log(store, 1, 2, 3)
    assert said == [
        f"Nothing more is logged to {fake.__name__} (the server is gone); the run itself goes on."
    ]
    assert len(list((store.path / "events").glob("*tfevents*"))) == 3
    fake.breaks = False
    _log(store, 4)  # a resume makes up for it
    assert [step for step, _ in fake.told] == [0, 1, 2, 3]


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path) -> None:
    store = _store(tmp_path)
    (store.path / "events").write_text("in the way")
    assert len(_log(store, 2, 3)) == 1


def test_what_is_not_installed_is_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        loggers.importlib.util, "find_spec", lambda name: None if name == "wandb" else "there"
    )
    require_loggers(_config(to=["tensorboard", "trackio"]).logging)
    with pytest.raises(BasinError, match="pip install wandb"):
        require_loggers(_config(to=["wandb"]).logging)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"to": ["mlflow"]}, "logging.to"),
        ({"space": "me/mine"}, "online"),
        ({"space": "me/mine", "online": True}, "trackio"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(BasinError, match=told):
        _config(**wrong)


def test_another_logger_is_no_other_configuration(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.check_config(_config(to=["wandb"], project="other"))
