"""Steps of unchanging shape are the steps that grow; the graph itself needs a GPU."""

from __future__ import annotations

import pytest
import torch
from conftest import make_language_model

from agent.language_model.decoding.cuda_graph import StaticReader, can_be_static
from agent.language_model.decoding.kv_cache import Reader
from agent.steering.gate import Gate, SteeringMode
from agent.steering.vector import SteeringVector

VECTOR = SteeringVector({1: torch.linspace(-1, 1, 16), 3: torch.ones(16)})


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "qwen3"])
def test_every_step_gives_the_states_of_a_growing_cache(name):
    language_model = make_language_model(name, depth=4)
    ids = torch.randint(4, 90, (3, 20), generator=torch.Generator().manual_seed(0))
    real = torch.ones_like(ids, dtype=torch.bool)
    real[1, :4] = False
    readers = [kind(language_model.fused, 4, 20) for kind in (Reader, StaticReader)]
    with torch.no_grad(), language_model.steer(VECTOR):
        for part in (slice(0, 7), *(slice(at, at + 1) for at in range(7, 20))):
            growing, static = (reader.read(ids[:, part], real[:, : part.stop]) for reader in readers)
            torch.testing.assert_close(static, growing, rtol=1e-4, atol=1e-4)


def test_a_gate_keeps_count_so_its_steps_are_not_recorded():
    language_model = make_language_model(depth=4)
    gate = Gate(1, torch.ones(16) / 4, 0.0, 0.0, 1.0)
    assert can_be_static(language_model.fused)
    with language_model.steer(VECTOR, 1.0, SteeringMode(gate=gate)):
        assert not can_be_static(language_model.fused)
    assert not can_be_static(language_model.model.base_model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recorded_step_is_replayed():
    language_model = make_language_model(depth=4)
    language_model.model.to("cuda")
    ids = torch.randint(4, 90, (3, 20), device="cuda")
    real = torch.ones_like(ids, dtype=torch.bool)
    readers = [kind(language_model.fused, 4, 20) for kind in (Reader, StaticReader)]
    with torch.inference_mode():
        for part in (slice(0, 7), *(slice(at, at + 1) for at in range(7, 20))):
            growing, static = (reader.read(ids[:, part], real[:, : part.stop]) for reader in readers)
            torch.testing.assert_close(static, growing, rtol=1e-3, atol=1e-3)
    assert readers[1].graph is not None
