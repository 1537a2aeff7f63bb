"""A fast sample of `python -m benchmarks.fuzz`, and every input that was ever found to fail."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agent.errors import BasinError
from benchmarks import fuzz
from benchmarks.fuzzing import watching
from benchmarks.fuzzing.commands import load_commands
from benchmarks.fuzzing.targets import TARGETS
from benchmarks.fuzzing.watching import Failed, minimised, survive

FOUND = sorted(path for path in (Path(__file__).parent / "failures").glob("*/*") if path.is_file())
SLOW = {"settings": 10, "suite": 4, "generation_suite": 6, "commands": 4}
"""Fewer inputs of readers that take milliseconds."""


def sample(name: str) -> int:
    return SLOW.get(name, 60)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    load_commands()


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_and_made_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    outcomes = [
        survive(TARGETS[name].check, TARGETS[name].input(7, number), tmp_path)
        for number in range(sample(name))
    ]
    assert "refused" in outcomes or name in ("passages", "commands")


# Not a strategy's own: types are checked in tests, one entry of a mapping drawn by chance.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("name", [name for name in TARGETS if name != "commands"])
def test_drawn_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    @settings(
        max_examples=sample(name) // 2,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(TARGETS[name].strategy)
    def once(content: bytes) -> None:
        survive(TARGETS[name].check, content, tmp_path)

    once()


@pytest.mark.parametrize("path", FOUND, ids=[f"{path.parent.name}/{path.name}" for path in FOUND])
def test_what_once_failed_does_not_any_more(path: Path, tmp_path: Path) -> None:
    survive(TARGETS[path.parent.name].check, path.read_bytes(), tmp_path)


def test_inputs_are_the_same_each_time_and_differ_among_each_other() -> None:
    for target in TARGETS.values():
        inputs = [target.input(3, number) for number in range(5)]
        assert inputs == [target.input(3, number) for number in range(5)]
        assert len({*inputs, target.input(4, 0)}) > 2


def reads(content: bytes, folder: Path) -> None:
    """A reader with a mistake of every kind."""
    if b"trace" in content:
        raise KeyError("trace")
    if b"endless" in content:
        while True:
            pass
    if b"lines" in content:
        raise BasinError("no sentence")
    if b"bad" in content:
        raise BasinError("This file is bad: mend it.")


@pytest.mark.parametrize(
    "content, kind", [(b"a trace", "traceback"), (b"endless", "hang"), (b"lines", "sentence")]
)
def test_failures_are_told_apart(
    content: bytes, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SECONDS", 0.2)
    with pytest.raises(Failed) as failure:
        survive(reads, content, tmp_path)
    assert failure.value.kind == kind
    assert [survive(reads, each, tmp_path) for each in (b"fine", b"bad")] == ["read", "refused"]


def test_a_failing_input_is_made_smaller(tmp_path: Path) -> None:
    assert minimised(reads, b"much before a trace and after" * 3, tmp_path, "traceback") == b"trace"


def test_a_reader_that_kills_its_process_is_a_failure_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(content: bytes, folder: Path) -> None:
        if content[:1] == b"O":
            os._exit(7)

    planted = replace(TARGETS["text"], name="planted", check=dies, begin=(b"O", b"fine"))
    monkeypatch.setitem(TARGETS, "planted", planted)
    with pytest.raises(SystemExit) as ended:
        fuzz.main(
            inputs=30,
            seconds=60,
            workers=1,
            seed=0,
            only=["planted"],
            results=tmp_path,
            failures=tmp_path / "kept",
        )
    assert ended.value.code == 1
    row = json.loads((tmp_path / "fuzz.json").read_text())["rows"][-1]
    assert row["crashes"] >= 1 and row["fuzz_inputs"] >= 20
    assert any(path.read_bytes()[:1] == b"O" for path in (tmp_path / "kept" / "planted").iterdir())
