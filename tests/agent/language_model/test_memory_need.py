"""Needs grow as the work does, and batches are cut to what fits."""

from __future__ import annotations

import numpy as np
import torch
from conftest import make_language_model, sentence

from agent.adapting import supervised
from agent.adapting.config import LoraConfig
from agent.adapting.trainer import train
from agent.language_model import model as module
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.memory import MemoryNeed, most

TEXTS = [sentence(*range(at, at + 9)) for at in range(12)]


def test_need_is_what_the_arrays_take(architecture):
    language_model = make_language_model(architecture, depth=4)
    need = MemoryNeed.of(language_model.model)
    assert need.weights == sum(weight.nbytes for weight in language_model.model.parameters())
    # Keys and values of one token: exact, by hand for two heads of 8, or the one that Llama's two share.
    heads = {"gpt2": 32, "gpt_neox": 32, "opt": 32}.get(architecture, 16)
    assert need.writing(1, 11) - need.writing(1, 10) == 4 * heads * 4
    assert need.reading(200) == 2 * need.reading(100) and need.teaching(200) > need.teaching(100)


def test_most_is_at_least_one():
    assert most(10, 48, 1000) == 48 and most(100, 48, 1000) == 10 and most(5000, 48, 1000) == 1
    assert most(10, 48, -5) == 1


def test_a_small_machine_reads_and_writes_less_at_a_time_with_the_same_results(monkeypatch):
    plain, config = make_language_model(), GenerationConfig(batch_size=12, new_tokens=5)
    need = MemoryNeed.of(plain.model)
    room = 2 * need.weights + 3 * need.writing(1, 20)
    monkeypatch.setattr(module, "memory_at_hand", lambda device: room)
    small, batches = make_language_model(), []
    assert small.batch_tokens < plain.batch_tokens
    small._writer.continuations = _counting(small._writer.continuations, batches)
    assert small.generate(TEXTS, range(12), config) == plain.generate(TEXTS, range(12), config)
    assert max(batches) <= 4 and sum(batches) == 12
    assert np.allclose(small.record(TEXTS), plain.record(TEXTS), atol=1e-5)


def _counting(write, batches):
    def counted(prompts, *arguments):
        batches.append(len(prompts))
        return write(prompts, *arguments)

    return counted


def test_activations_are_computed_again_only_where_memory_demands_it(tmp_path, monkeypatch):
    config, adapters, seen = LoraConfig(passages=8, batch=4, learning_rate=0.03, tokens=32), [], []
    for room in (0, 2**60):
        monkeypatch.setattr(supervised, "memory_at_hand", lambda device, room=room: room)
        monkeypatch.setattr(
            supervised, "train", lambda trainer, place: seen.append(trainer) or train(trainer, place)
        )
        folder = tmp_path / str(room)
        adapters.append(
            supervised.teach(make_language_model(), TEXTS, np.ones(12), None, config, 0, folder)[0]
        )
    assert [trainer.args.gradient_checkpointing for trainer in seen] == [True, False]
    for name, weight in adapters[0].tensors.items():
        torch.testing.assert_close(weight, adapters[1].tensors[name], rtol=1e-3, atol=1e-5)
        assert name.endswith("lora_A.weight") or weight.norm() > 0
