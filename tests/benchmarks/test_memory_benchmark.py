"""What the memory benchmark compares are two numbers of gigabytes of one process."""

import pytest

from benchmarks import memory

TINY = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}


def test_every_stage_that_is_measured_is_foreseen(monkeypatch):
    monkeypatch.setattr(memory, "RANDOM", {"tiny": TINY})
    found = memory.one("tiny", "record")
    assert 0.2 < found["loaded"] <= found["taken"] and found["foreseen"] > 0.2
    assert memory.config_of("tiny").updating.schedule(1).adapt


def test_a_stage_that_fails_ends_the_benchmark(monkeypatch):
    monkeypatch.setattr(memory, "NAMES", ("no/such-model",))
    monkeypatch.setattr(
        memory.subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 1, "stderr": "why"})
    )
    with pytest.raises(SystemExit, match=r"record with no/such-model failed: \['why'\]"):
        memory.main([])
