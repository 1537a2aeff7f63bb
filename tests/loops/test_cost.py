"""What is said beforehand of how long a run takes, and of how much a kill may cost."""

from __future__ import annotations

import pytest
from conftest import make_language_model

from loops import cost
from loops.config import parse_config


@pytest.mark.parametrize(("gflops", "warned"), [(1e-4, True), (100.0, False)])
def test_a_batch_that_takes_minutes_to_write_is_said(monkeypatch, gflops, warned):
    monkeypatch.setattr(cost, "matrix_speed", lambda config: gflops)
    sentence = cost.forecast(parse_config({"corpus": {"source": "x"}}, ""), 10, make_language_model(depth=4))
    assert sentence.startswith("This may take about")
    assert ("generation.batch_size" in sentence) == warned
