"""Sampling of next tokens by a seed per passage, independent of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from agent.errors import BasinError
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.output_layer import OutputLayer, overflow_remedy

COLUMNS = 2048
"""Columns that a row of scores is folded into, see `likeliest`; 2,000 to 4,000 are fastest."""


class Sampler:
    """An exact sampler by the Gumbel-max trick (Gumbel 1954).

    The likeliest token after adding Gumbel noise to log-probabilities is a sample from them. The
    noise is a function of (seed, step, token), so the draw survives rounding that swaps two
    near-equal tokens. Scaling, soft-capping and temperature keep the order of tokens, so they apply
    to the `top_k` only.
    """

    def __init__(
        self,
        output: OutputLayer,
        barred: Bool[Tensor, "word"],
        seeds: Sequence[int],
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor] = (),
    ) -> None:
        self.output = output
        self.barred = barred.nonzero()[:, 0]
        self.seeds = torch.tensor(seeds, dtype=torch.long, device=barred.device)
        self.config = config
        self.processors = processors
        greedy = config.temperature == 0
        self.temperature = 1.0 if greedy else config.temperature
        self.top = min(1 if greedy else config.top_k, len(barred) - len(self.barred))

    def draw(
        self,
        states: Float[Tensor, "text width"],
        step: int,
        ids: Int[Tensor, "text seen"],
        real: Bool[Tensor, "text seen"],
    ) -> Int[Tensor, "text"]:
        """The next token of each text.

        Args:
            states: last states after the last norm.
            ids, real: the tokens so far, and which of them are not padding.

        Raises:
            BasinError: the scores are not finite.
        """
        if self.processors or self.config.repetition_penalty != 1:
            scores = self.processed(self.output.logits(states), ids, real)
            return self.drawn(scores, step)
        parts = [
            likeliest(self.output.raw(part).index_fill_(1, self.barred, -torch.inf), self.top)
            for part in states.split(self.output.chunk)
        ]
        top, tokens = (torch.cat(each) for each in zip(*parts, strict=True))
        return self.chosen(self.output.finished(top.float()), tokens, step)

    def drawn(self, scores: Float[Tensor, "text word"], step: int) -> Int[Tensor, "text"]:
        """The draw by float32 logits, without barred tokens."""
        top, tokens = likeliest(scores.index_fill(1, self.barred, -torch.inf), self.top)
        return self.chosen(top, tokens, step)

    def chosen(
        self, top: Float[Tensor, "text choice"], tokens: Int[Tensor, "text choice"], step: int
    ) -> Int[Tensor, "text"]:
        """The draw among the likeliest tokens, in falling order of their scores."""
        if not top.is_cuda and not torch.isfinite(top).all():
            remedy = overflow_remedy(self.output.head.weight.dtype)
            raise BasinError(f"The model's next-token scores are not finite: {remedy}.")
        log_probabilities = (top / self.temperature).log_softmax(-1)
        before = log_probabilities.exp().cumsum(-1) - log_probabilities.exp()
        noise = gumbel_noise(self.seeds, step, tokens)
        noisy = torch.where(before < self.config.top_p, log_probabilities + noise, -torch.inf)
        return tokens.gather(1, noisy.argmax(-1, keepdim=True))[:, 0]

    def processed(
        self,
        scores: Float[Tensor, "text word"],
        ids: Int[Tensor, "text seen"],
        real: Bool[Tensor, "text seen"],
    ) -> Float[Tensor, "text word"]:
        """Float32 logits after the penalty and the processors."""
        if self.config.repetition_penalty != 1:
            # As in transformers (Keskar et al. 1909.05858), without padding.
            penalty = self.config.repetition_penalty
            seen = (
                torch.zeros_like(scores, dtype=torch.int8).scatter_reduce(1, ids, real.to(torch.int8), "amax")
                > 0
            )
            scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        for processor in self.processors:
            scores = processor(ids, scores)
        return scores.float()


def likeliest(
    scores: Float[Tensor, "text word"], count: int
) -> tuple[Float[Tensor, "text choice"], Int[Tensor, "text choice"]]:
    """The `count` highest scores of every row and their places; on a CPU thrice as fast as `topk`.

    The vocabulary is folded into columns. The `count` highest scores lie in the `count` columns
    with the highest maxima, since each of those has a word at least as high. Only their words are
    searched.
    """
    rows, words = scores.shape
    deep = words // COLUMNS
    if deep < 4 or count * 4 > COLUMNS:
        top, places = scores.topk(count, dim=-1)
        return top, places
    whole = deep * COLUMNS
    columns = scores[:, :whole].view(rows, deep, COLUMNS).amax(1).topk(count, dim=-1, sorted=False).indices
    depths = COLUMNS * torch.arange(deep, device=scores.device)
    rest = torch.arange(whole, words, device=scores.device).expand(rows, -1)
    candidates = torch.cat([(columns[:, :, None] + depths).flatten(1), rest], dim=1)
    top, places = scores.gather(1, candidates).topk(count, dim=-1)
    return top, candidates.gather(1, places)


def barred_tokens(model: Any, tokenizer: Any) -> Bool[Tensor, "word"]:
    """Tokens never generated: special ones, ends of text, and rows without a token."""
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
    """Gumbel noise keyed by (seed, step, token): a counter-based generator (Salmon et al. 2011).

    The counter is hashed with the finaliser of SplitMix64 (Steele et al. 2014), once per part of
    the key.
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
