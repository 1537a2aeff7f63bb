"""Several processes read into the cache what one would have read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_causal_lm, make_tokenizer, sentence
from rich.console import Console

from agent.language_model import activation_cache
from agent.language_model.activation_cache import record_cached
from agent.language_model.model import LanguageModel, LanguageModelConfig
from loops import recording
from loops.monitor.progress import show_progress
from loops.recording import claim, record_spread


@pytest.fixture
def config(tmp_path: Path) -> LanguageModelConfig:
    """A model in a folder, as workers can load it."""
    make_causal_lm("llama", depth=3).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    return LanguageModelConfig(name=str(tmp_path / "model"), layers=(1, 2), dtype="float32")


@pytest.fixture
def texts() -> list[str]:
    dice = np.random.default_rng(0)
    lengths = dice.integers(2, 12, 300)
    return [
        sentence(*dice.integers(0, 90, length)) + sentence(row % 90) for row, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_finds_what_workers_have_read(config, texts, workers, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers do
    try:
        monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "alone"))
        alone = record_cached(LanguageModel.load(config), texts)
        monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "spread"))
        with show_progress(Console(quiet=True)):
            assert record_spread(config, texts, workers=workers) == len(texts)
    finally:
        torch.set_num_threads(before)
    files = {
        place: {each.name for each in (tmp_path / place).glob("activations/*/*")}
        for place in ("alone", "spread")
    }
    assert files["spread"] == files["alone"] and len(files["alone"]) == -(-300 // activation_cache.CHUNK)
    monkeypatch.setattr(LanguageModel, "record", lambda *_, **__: pytest.fail("read again"))
    assert np.array_equal(record_cached(LanguageModel.load(config), texts), alone)


def test_a_device_is_claimed_once_and_free_again_when_its_process_has_ended(tmp_path):
    devices = ("cuda:0", "cuda:1")
    assert [claim(devices, tmp_path), claim(devices, tmp_path)] == ["cuda:0", "cuda:1"]
    assert claim(devices, tmp_path) == "cuda:1"  # more workers than devices: the last one is shared
    for file in recording._held:
        file.close()
    recording._held.clear()
    assert claim(devices, tmp_path) == "cuda:0"
    recording._held.pop().close()


def test_there_is_a_worker_for_every_gpu(config, texts, monkeypatch):
    asked = {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(
        recording, "sweep", lambda *parts, **ways: asked.update(reading=parts[1], pieces=parts[2], **ways)
    )
    with show_progress(Console(quiet=True)):
        record_spread(config, texts)
        assert asked["workers"] == 3 and asked["reading"].devices == ("cuda:0", "cuda:1", "cuda:2")
        record_spread(config, texts, workers=8)
        assert asked["workers"] == 3 and asked["gpus_each"] == 1
        record_spread(config.model_copy(update={"device": "cpu"}), texts, workers=2)
        assert asked["workers"] == 2 and asked["reading"].devices == ()
    assert sum(map(len, asked["pieces"].values())) == len(texts)
