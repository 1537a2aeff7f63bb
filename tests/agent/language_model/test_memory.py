"""A model whose memory is too small for the batches that were asked for."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from conftest import make_language_model, sentence

from agent.errors import BasinError
from agent.language_model.decoding.fused import FusedDecoder
from agent.language_model.decoding.loop import GenerationConfig
from agent.language_model.memory import is_out_of_memory, within_memory

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("could not create a primitive"),
    MemoryError(),
]
TEXTS = [sentence(*range(at, at + 9)) for at in range(12)]
CONFIG = GenerationConfig(batch_size=8, new_tokens=5)


def cramped(monkeypatch, rows: int, error: BaseException = ERRORS[0]):
    """A model that runs out of memory with more than so many rows; what it says; how many rows it was given."""
    model, said, seen = make_language_model(), [], []
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
    return model, said, seen


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "onednn", "python"])
def test_reading_goes_on_in_halves_and_says_so_once(monkeypatch, error):
    plain = make_language_model()
    expected = plain.record(TEXTS), plain.losses(TEXTS), plain.token_losses(TEXTS)
    model, said, _ = cramped(monkeypatch, 3, error)
    assert np.allclose(model.record(TEXTS), expected[0], atol=1e-5)
    assert np.allclose(model.losses(TEXTS), expected[1], atol=1e-5)
    assert all(
        np.allclose(a, b, atol=1e-5) for a, b in zip(model.token_losses(TEXTS), expected[2], strict=True)
    )
    states = {each.text: each.states for each in model.token_states(TEXTS)}
    assert len(states) == len(TEXTS)
    assert len(said) == 1 and "halved" in said[0]


def test_later_batches_are_smaller_at_once(monkeypatch):
    model, _, seen = cramped(monkeypatch, 3)
    model.batch_tokens = make_language_model().batch_tokens
    for _ in range(12):
        model.record(TEXTS)
    assert max(seen[-4:]) <= 3


def test_writing_goes_on_in_halves_with_the_same_passages(monkeypatch):
    prompts, seeds = TEXTS[:8], list(range(8))
    expected = make_language_model().generate(prompts, seeds, CONFIG)
    model, said, seen = cramped(monkeypatch, 3)
    assert model.generate(prompts, seeds, CONFIG) == expected
    assert len(said) == 1 and model.batch_rows == 2
    seen.clear()
    model.generate(prompts, seeds, CONFIG)
    assert max(seen) <= 3


def test_one_text_that_does_not_fit_is_one_sentence(monkeypatch):
    model, _, _ = cramped(monkeypatch, 0)
    with pytest.raises(BasinError, match="one single text"):
        model.record(TEXTS)
    with pytest.raises(BasinError, match="one single text"):
        model.generate(TEXTS[:2], [1, 2], CONFIG)


def test_other_errors_are_not_taken_for_it(monkeypatch):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    model, _, seen = cramped(monkeypatch, 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        model.record(TEXTS)
    assert len(seen) == 1


def test_parts_come_in_order(messages):
    class Numbers:
        def __init__(self, numbers):
            self.numbers = numbers

        def __len__(self):
            return len(self.numbers)

        def halves(self):
            middle = len(self) // 2
            return Numbers(self.numbers[:middle]), Numbers(self.numbers[middle:])

    def work(batch):
        if len(batch) > 2:
            raise MemoryError
        return sum(batch.numbers)

    told = messages
    found = within_memory(Numbers(list(range(7))), work)
    assert [each for part, _ in found for each in part.numbers] == list(range(7))
    assert sum(result for _, result in found) == 21 and told == [3, 1, 2]
