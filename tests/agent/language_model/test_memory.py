"""Batches shrink to the memory there is, with equal results."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model import memory
from agent.language_model import model as models
from agent.language_model.decoding.config import GenerationConfig, ParticleConfig
from agent.language_model.decoding.fused import FusedDecoder
from agent.language_model.decoding.particles import Tilt
from agent.language_model.memory import MemoryNeed, Rows, is_out_of_memory, most, within_memory

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("could not create a primitive"),
    MemoryError(),
]
TEXTS = [sentence(*range(at, at + 9)) for at in range(12)]
CONFIG = GenerationConfig(batch_size=8, new_tokens=5)


def cramped(monkeypatch, rows: int, error: BaseException = ERRORS[0]):
    """A model that runs out of memory with more than so many rows, and the rows that it was given."""
    model, seen = make_language_model(), []
    assert model.fused is not None  # its trial reads two texts

    def cramp(reader: type) -> None:
        whole = reader.forward

        @functools.wraps(whole)
        def forward(self, *arguments, **options):
            seen.append(len(options["input_ids"]))
            if seen[-1] > rows:
                raise error
            return whole(self, *arguments, **options)

        monkeypatch.setattr(reader, "forward", forward)

    cramp(type(model.model.base_model))
    cramp(FusedDecoder)
    return model, seen


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "onednn", "python"])
def test_reading_goes_on_in_halves_and_says_so_once(monkeypatch, error, messages):
    plain = make_language_model()
    expected = plain.record(TEXTS), plain.losses(TEXTS), plain.token_losses(TEXTS)
    model, _ = cramped(monkeypatch, 3, error)
    assert np.allclose(model.record(TEXTS), expected[0], atol=1e-5)
    assert np.allclose(model.losses(TEXTS), expected[1], atol=1e-5)
    assert all(
        np.allclose(a, b, atol=1e-5) for a, b in zip(model.token_losses(TEXTS), expected[2], strict=True)
    )
    states = {each.text: each.states for each in model.token_states(TEXTS)}
    assert len(states) == len(TEXTS)
    assert len([message for message in messages if "halved" in message]) == 1


def test_later_batches_are_smaller_at_once(monkeypatch):
    model, seen = cramped(monkeypatch, 3)
    for _ in range(12):
        model.record(TEXTS)
    assert max(seen[-4:]) <= 3


def test_generating_goes_on_in_halves_with_the_same_passages(monkeypatch, messages):
    prompts, seeds = TEXTS[:8], list(range(8))
    expected = make_language_model().generate(prompts, seeds, CONFIG)
    model, seen = cramped(monkeypatch, 3)
    assert model.generate(prompts, seeds, CONFIG) == expected
    assert len([message for message in messages if "as many passages" in message]) == 1
    assert model.batch_policy.rows == 2
    seen.clear()
    model.generate(prompts, seeds, CONFIG)
    assert max(seen) <= 3


def test_one_text_that_does_not_fit_is_one_sentence(monkeypatch):
    model, _ = cramped(monkeypatch, 0)
    with pytest.raises(BasinError, match="one single text"):
        model.record(TEXTS)
    with pytest.raises(BasinError, match="one single text"):
        model.generate(TEXTS[:2], [1, 2], CONFIG)


def test_other_errors_are_not_taken_for_it(monkeypatch):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    model, seen = cramped(monkeypatch, 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        model.record(TEXTS)
    assert len(seen) == 1


def test_parts_come_in_order():
    def work(batch):
        if len(batch) > 2:
            raise MemoryError
        return sum(batch.rows)

    shrunk = []
    found = within_memory(Rows(range(7)), work, shrunk.append)
    assert [row for part, _ in found for row in part.rows] == list(range(7))
    assert sum(result for _, result in found) == 21 and shrunk == [4, 2, 2]


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
    monkeypatch.setattr(memory, "memory_at_hand", lambda device: room)
    small, batches = make_language_model(), []
    assert small.batch_tokens < plain.batch_tokens
    expected = plain.generate(TEXTS, range(12), config)
    monkeypatch.setattr(models, "Draft", _counting(models.Draft, batches))
    assert small.generate(TEXTS, range(12), config) == expected
    assert max(batches) <= 4 and sum(batches) == 12
    batches.clear()
    tilt, pairs = Tilt(lambda texts: np.zeros(len(texts)), 1.0), ParticleConfig(particles=2)
    assert [
        each.texts[0] for each in small.generate_particles(TEXTS, range(12), config, tilt, pairs)
    ] == expected
    assert max(batches) <= 4 and sum(batches) == 24
    assert np.allclose(small.record(TEXTS), plain.record(TEXTS), atol=1e-5)


def _counting(write, batches):
    def counted(writer, prompts, *arguments):
        batches.append(len(prompts))
        return write(writer, prompts, *arguments)

    return counted
