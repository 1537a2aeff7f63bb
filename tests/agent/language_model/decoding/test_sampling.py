"""Draws are those of the reference distribution, and the short way to the likeliest tokens is the long one's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from agent.errors import BasinError
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.decoding.sampling import COLUMNS, Sampler, likeliest
from agent.language_model.output_layer import CPU_ROWS, OutputLayer

WORDS, ROWS = 40, 20_000


class Settings:
    """A model's configuration without scaling or capping."""


def sampler(seeds, barred=(), words=WORDS, **options) -> Sampler:
    head = nn.Linear(words, words, bias=False)
    head.weight.data = torch.eye(words)  # states are scores
    mask = torch.zeros(words, dtype=torch.bool)
    mask[list(barred)] = True
    return Sampler(OutputLayer(head, Settings()), mask, seeds, GenerationConfig(**options))


def draw(drawer: Sampler, scores: torch.Tensor, step: int = 0) -> torch.Tensor:
    none = torch.zeros(len(scores), 1, dtype=torch.long)
    return drawer.draw(scores, step, none, none.bool())


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "top_k": WORDS, "top_p": 1.0},
        {"temperature": 0.7, "top_k": 12, "top_p": 1.0},
        {"temperature": 1.3, "top_k": 25, "top_p": 0.8},
    ],
)
def test_draws_are_distributed_as_transformers_draws_them(options):
    scores = 2 * torch.randn(1, WORDS, generator=torch.Generator().manual_seed(0))
    expected = scores.clone()
    for warper in (
        TemperatureLogitsWarper(options["temperature"]),
        TopKLogitsWarper(options["top_k"]),
        TopPLogitsWarper(options["top_p"]),
    ):
        expected = warper(None, expected)
    expected = expected.softmax(-1)[0].double().numpy()
    drawn = draw(sampler(range(ROWS), **options), scores.expand(ROWS, -1), step=3)
    counts = np.bincount(drawn.numpy(), minlength=WORDS)
    assert counts[expected == 0].sum() == 0
    kept = expected > 0
    test = scipy.stats.chisquare(counts[kept], ROWS * expected[kept] / expected[kept].sum())
    assert test.pvalue > 1e-3
    # The test can fail: a temperature a tenth higher is told apart.
    flatter = expected[kept] ** (1 / 1.1)
    assert scipy.stats.chisquare(counts[kept], ROWS * flatter / flatter.sum()).pvalue < 1e-3


def test_steps_and_seeds_are_independent():
    scores = torch.zeros(ROWS, WORDS)
    drawer = sampler(range(ROWS), temperature=1.0, top_k=WORDS, top_p=1.0)
    first, second = draw(drawer, scores, 0), draw(drawer, scores, 1)
    table = np.zeros((WORDS, WORDS))
    np.add.at(table, (first.numpy(), second.numpy()), 1)
    assert scipy.stats.chi2_contingency(table).pvalue > 1e-3
    assert torch.equal(first, draw(drawer, scores, 0))


@pytest.mark.parametrize("words", [90, COLUMNS * 4, COLUMNS * 5 + 321])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_likeliest_are_found_as_by_topk(words, dtype):
    scores = torch.randn(6, words, generator=torch.Generator().manual_seed(1)).to(dtype)
    scores[0, : words // 2] = 3.0  # ties
    scores[1, -1] = 9.0
    scores[2] = torch.arange(words).to(dtype)
    top, places = likeliest(scores, 64)
    expected = scores.topk(64)
    assert torch.equal(top, expected.values)
    assert torch.equal(scores.gather(1, places), top)
    assert all(len(set(row)) == 64 for row in places.tolist())


def test_no_barred_token_is_drawn_and_temperature_zero_is_greedy():
    scores = torch.zeros(500, WORDS)
    scores[:, 7] = 50.0
    drawn = draw(sampler(range(500), barred=(7, 8), temperature=1.0, top_k=WORDS, top_p=1.0), scores)
    assert set(drawn.tolist()) == set(range(WORDS)) - {7, 8}
    scores = torch.randn(500, WORDS, generator=torch.Generator().manual_seed(2))
    assert torch.equal(draw(sampler(range(500), temperature=0.0, top_k=5), scores), scores.argmax(-1))


def test_texts_beyond_one_part_are_drawn_as_alone_and_their_states_stay():
    states = torch.randn(2 * CPU_ROWS + 9, WORDS, generator=torch.Generator().manual_seed(2))
    before = states.clone()
    drawn = draw(sampler(range(len(states)), barred=[3]), states)
    assert torch.equal(states, before) and not (drawn == 3).any()
    for row in (0, CPU_ROWS, len(states) - 1):
        assert draw(sampler([row], barred=[3]), states[row : row + 1])[0] == drawn[row]


def test_repetition_is_penalised_where_it_was_written_and_not_where_it_is_padding():
    scores = torch.tensor([[1.0, 1.5, -1.0, -1.2]]).repeat(2, 1)
    drawer = sampler([0, 0], words=4, temperature=0.0, repetition_penalty=2.0)
    ids = torch.tensor([[1, 1, 3], [1, 1, 3]])
    real = torch.tensor([[True, True, True], [False, False, True]])
    assert drawer.draw(scores, 0, ids, real).tolist() == [0, 1]


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(BasinError, match="not finite"):
        draw(sampler([1], top_k=3), torch.full((1, WORDS), torch.nan))
