"""What the interop benchmark measures with, and how its rows are kept and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.interop import __main__ as interop
from benchmarks.interop.bench import agreement, row
from benchmarks.render import interop_tables


def test_agreement_is_1_for_the_same_change_whatever_its_size_and_offset() -> None:
    change = np.random.default_rng(0).normal(size=(3, 50))
    assert agreement(2 * change + 5, change) == pytest.approx(1)
    assert agreement(-change, change) == pytest.approx(-1)
    assert abs(agreement(np.random.default_rng(1).normal(size=(3, 50)), change)) < 0.4


def test_a_consumers_rows_take_the_place_of_those_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interop, "RESULTS", tmp_path)
    monkeypatch.setattr(interop, "write_results", lambda name, rows, command: _written(tmp_path, rows))
    interop._keep("llama", [row("gguf", "llama.cpp", None, "first", value=1.0, base=None)])
    interop._keep(
        "rivals", [row("control-vector", "repeng", "no such package", "other", value=0.5, base=0.1)]
    )
    interop._keep("llama", [row("gguf", "llama.cpp", None, "second", value=2.0, base=None)])
    rows = json.loads((tmp_path / "interop.json").read_text())["rows"]
    assert [each["effect"] for each in rows] == ["other", "second"] and rows[0]["version"] == "unknown"
    lines = interop_tables(rows)
    assert any("repeng" in line and "0.500" in line for line in lines)


def _written(folder: Path, rows: list) -> Path:
    file = folder / "interop.json"
    file.write_text(json.dumps({"rows": rows}))
    return file
