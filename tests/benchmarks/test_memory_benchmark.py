"""The memory benchmark compares measured and estimated gigabytes of one process."""

from benchmarks import memory

TINY = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}


def test_every_stage_that_is_measured_is_foreseen(monkeypatch):
    monkeypatch.setattr(memory, "RANDOM", {"tiny": TINY})
    found = memory.one("tiny", "record")
    assert 0.2 < found["loaded"] <= found["taken"] and found["foreseen"] > 0.2
    assert memory.config_of("tiny").updating.schedule(1).adapt
