"""Sampling in which a passage depends on its prompt and its own seed, never on the batch it sits in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from agent.errors import BasinError
from agent.model_layout import longest_sequence
from agent.types import StageConfig


class GenerationConfig(StageConfig):
    """What is written in a round. Every passage has exactly `new_tokens` tokens: it cannot end early."""

    samples: int = Field(48, ge=1)
    """Passages per round."""
    new_tokens: int = Field(90, ge=1)
    prompt_words: int = Field(9, ge=1)
    """Words of a real passage that open a generated one; they never name the concept."""
    batch_size: int = Field(48, ge=1)
    temperature: float = Field(0.9, gt=0)
    top_k: int = Field(64, ge=1)
    top_p: float = Field(0.95, gt=0, le=1)
    """Applied inside the `top_k` likeliest tokens."""
    repetition_penalty: float = Field(1.0, ge=1)


class SeededSampler(LogitsProcessor):
    """Turns transformers' greedy search into an exact sampler (the Gumbel-max trick, Gumbel 1954).

    The likeliest token after adding Gumbel noise to log-probabilities is a sample from them. The noise is a
    function of (seed, step, token), so rounding that swaps two near-equal tokens does not change the draw.
    """

    def __init__(
        self, seeds: Sequence[int], prompt_tokens: int, barred: Bool[Tensor, "word"], config: GenerationConfig
    ) -> None:
        self.seeds = torch.tensor(seeds, dtype=torch.long, device=barred.device)
        self.prompt_tokens = prompt_tokens
        self.barred = barred
        self.config = config

    def __call__(
        self, input_ids: Int[Tensor, "text token"], scores: Float[Tensor, "text word"]
    ) -> Float[Tensor, "text word"]:
        scores = scores.float().masked_fill(self.barred, -torch.inf) / self.config.temperature
        top, tokens = scores.topk(min(self.config.top_k, int((~self.barred).sum())), dim=-1)
        if not torch.isfinite(top).all():
            raise BasinError(
                "The model's next-token scores are not finite: steer less, or use dtype float32."
            )
        log_probabilities = top.log_softmax(-1)
        before = log_probabilities.exp().cumsum(-1) - log_probabilities.exp()
        noise = gumbel_noise(self.seeds, input_ids.shape[1] - self.prompt_tokens, tokens)
        noisy = torch.where(before < self.config.top_p, log_probabilities + noise, -torch.inf)
        chosen = tokens.gather(1, noisy.argmax(-1, keepdim=True))
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


def continuations(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    config: GenerationConfig,
    *,
    processors: Sequence[LogitsProcessor] = (),
) -> list[str]:
    """One batch of continuations, without their prompts; raises as `LanguageModel.generate` does.

    `processors` see the model's scores in turn; the sampler draws from what the last one makes of them.
    """
    rows = [_open_ids(model, tokenizer, prompt, config.new_tokens) for prompt in prompts]
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=model.device)
    sampler = SeededSampler(seeds, length, barred_tokens(model, tokenizer), config)
    written = model.generate(
        ids,
        attention_mask=mask,
        generation_config=_settings(config),
        logits_processor=LogitsProcessorList([*processors, sampler]),
    )
    return [
        _text_after(tokenizer, row, new) for row, new in zip(rows, written[:, length:].tolist(), strict=True)
    ]


def _settings(config: GenerationConfig) -> transformers.GenerationConfig:
    # Named in full: what is left out here, transformers takes from the published model's own defaults.
    return transformers.GenerationConfig(
        max_new_tokens=config.new_tokens,
        min_new_tokens=config.new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=config.repetition_penalty,
        pad_token_id=0,
        disable_compile=True,
    )


def _open_ids(model: Any, tokenizer: Any, prompt: str, new_tokens: int) -> list[int]:
    encoded = tokenizer(prompt, return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    # Some tokenizers close a sequence; a prompt stays open.
    while len(ids) > 1 and special[len(ids) - 1]:
        ids = ids[:-1]
    if not ids:
        raise BasinError("An empty prompt has nothing to continue for this model: give at least one word.")
    if len(ids) + new_tokens > longest_sequence(model):
        raise BasinError(
            f"A prompt of {len(ids)} tokens and {new_tokens} new ones exceed the {longest_sequence(model)} "
            "that the model can read: shorten the prompt or lower generation.new_tokens."
        )
    return ids


def _text_after(tokenizer: Any, prompt: list[int], written: list[int]) -> str:
    # Decoded together: many tokenizers drop the space before a sequence's first word.
    before, both = (
        tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for ids in (prompt, prompt + written)
    )
    return both[len(before) :].rstrip("\ufffd")


def barred_tokens(model: Any, tokenizer: Any) -> Bool[Tensor, "word"]:
    """Tokens never written: special ones, ends of text, and rows of the vocabulary without a token."""
    barred = torch.zeros(model.get_output_embeddings().weight.shape[0], dtype=torch.bool)
    barred[len(tokenizer) :] = True
    ends = model.generation_config.eos_token_id
    added = [index for index, token in tokenizer.added_tokens_decoder.items() if token.special]
    for index in {*tokenizer.all_special_ids, *added, *(ends if isinstance(ends, list) else [ends])} - {None}:
        barred[index] = True
    return barred.to(model.device)


def gumbel_noise(
    seeds: Int[Tensor, "text"], step: int, tokens: Int[Tensor, "text choice"]
) -> Float[Tensor, "text choice"]:
    """Standard Gumbel noise keyed by (seed, step, token): a counter-based generator (Salmon et al. 2011).

    The counter is hashed with the finaliser of SplitMix64 (Steele et al. 2014), once per part of the key.
    """
    bits = _splitmix64(_splitmix64(_splitmix64(seeds)[:, None] + step) + tokens)
    uniform = (_shift_right(bits, 11).double() + 0.5) / 2.0**53
    return -torch.log(-torch.log(uniform)).float()


def _splitmix64(state: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    # Constants of the paper as signed integers; torch's int64 wraps around on overflow.
    state = state + (0x9E3779B97F4A7C15 - 2**64)
    state = (state ^ _shift_right(state, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    state = (state ^ _shift_right(state, 27)) * (0x94D049BB133111EB - 2**64)
    return state ^ _shift_right(state, 31)


def _shift_right(state: Int[Tensor, "..."], places: int) -> Int[Tensor, "..."]:
    return (state >> places) & ((1 << (64 - places)) - 1)
