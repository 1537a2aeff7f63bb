"""Malformed inputs to every reader, a small sample; inputs that once failed; odd arguments to every command."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import BasinError
from benchmarks import fuzz
from benchmarks.fuzz import TARGETS, Failed, survive

ONCE_FAILED = sorted((Path(__file__).parent / "failures").glob("*/*"))
SLOW = {"settings": 15, "suite": 5}
"""Fewer inputs of readers that take milliseconds."""
FEW = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}

texts = st.text(st.characters(), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
records = (
    st.fixed_dictionaries({"text": texts | values}, optional={"title": values, "label": values}) | values
)
lines = st.lists(records, max_size=5).map(
    lambda rows: "\n".join(map(json.dumps, rows)).encode("utf-8", "surrogatepass")
)
contents = st.binary(max_size=80) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | lines


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name, tmp_path):
    for content in TARGETS[name].begin:
        if name != "folder" and content != fuzz.RECORDS[1]:
            TARGETS[name].check(content, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs_are_read_or_refused(name, tmp_path):
    inputs = [TARGETS[name].input(7, number) for number in range(SLOW.get(name, 60))]
    assert inputs == [TARGETS[name].input(7, number) for number in range(len(inputs))]
    assert "refused" in {survive(TARGETS[name].check, each, tmp_path) for each in inputs}


@pytest.mark.parametrize("name", TARGETS)
def test_drawn_inputs_are_read_or_refused(name, tmp_path):
    @settings(max_examples=SLOW.get(name, 30), **FEW)
    @given(contents)
    def once(content: bytes) -> None:
        survive(TARGETS[name].check, content, tmp_path)

    once()


@pytest.mark.parametrize("path", ONCE_FAILED, ids=[f"{each.parent.name}/{each.name}" for each in ONCE_FAILED])
def test_inputs_that_once_failed_are_read_or_refused(path, tmp_path):
    survive(TARGETS[path.parent.name].check, path.read_bytes(), tmp_path)


def faulty(content: bytes, folder: Path) -> None:
    """A reader with a mistake of every kind."""
    if b"trace" in content:
        raise KeyError("trace")
    while b"endless" in content:
        pass
    if b"lines" in content:
        raise BasinError("no sentence")
    if b"bad" in content:
        raise BasinError("This file is bad: mend it.")
    if b"death" in content:
        os._exit(7)


@pytest.mark.parametrize(
    "content, kind", [(b"trace", "traceback"), (b"endless", "hang"), (b"lines", "sentence")]
)
def test_failures_have_a_kind(content, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    with pytest.raises(Failed, match=f"^{kind}: "):
        survive(faulty, content, tmp_path)
    assert [survive(faulty, each, tmp_path) for each in (b"fine", b"bad")] == ["read", "refused"]


def test_a_reader_that_kills_its_process_is_counted_and_the_rest_goes_on(tmp_path, monkeypatch):
    planted = replace(TARGETS["text"], check=faulty, begin=(b"death", b"fine"))
    monkeypatch.setitem(TARGETS, "planted", planted)
    row = fuzz.feed("planted", 0, 30, tmp_path)
    assert row["inputs"] == 30 and row["crash"] >= 1 and row["read"] >= 5
    assert any(b"death" in each.read_bytes() for each in (tmp_path / "planted").iterdir())
