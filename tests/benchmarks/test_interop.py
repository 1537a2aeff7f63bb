"""Agreement of two changes of logits, and how rows of consumers are kept."""

import json

import numpy as np
import pytest

from benchmarks import interop
from benchmarks.interop import agreement, row


def test_agreement_is_1_for_the_same_change_of_any_size_and_offset():
    change = np.random.default_rng(0).normal(size=(3, 50))
    assert agreement(2 * change + 5, change) == pytest.approx(1)
    assert agreement(-change, change) == pytest.approx(-1)
    assert abs(agreement(np.random.default_rng(1).normal(size=(3, 50)), change)) < 0.4


def test_rows_of_a_consumer_replace_its_earlier_ones(tmp_path):
    interop.keep("llama", [row("model", "llama.cpp", "first", 1.0)], tmp_path)
    interop.keep("rivals", [row("control-vector", "steering-vectors", "other", 0.5, 0.1)], tmp_path)
    interop.keep("llama", [row("model", "llama.cpp", "second", 2.0)], tmp_path)
    rows = json.loads((tmp_path / "interop.json").read_text())["rows"]
    assert [each["effect"] for each in rows] == ["other", "second"] and rows[0]["version"] == "unknown"
