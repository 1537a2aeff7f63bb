"""The generation loop: continuations of a batch of prompts, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from agent.errors import BasinError
from agent.language_model.architecture import base_of, hides_padding, longest_sequence
from agent.language_model.decoding.config import GenerationConfig
from agent.language_model.decoding.kv_cache import Reader
from agent.language_model.decoding.sampling import Sampler, barred_tokens
from agent.language_model.output_layer import OutputLayer


class Writer:
    """Generates continuations with one model.

    Args:
        base: computes states of tokens, called as a base model of transformers; None: transformers'
            own loop.
        rotation_limit: tokens beyond which a batch is rotated otherwise.
    """

    def __init__(
        self, model: Any, base: Any | None, output: OutputLayer, tokenizer: Any, rotation_limit: int | None
    ) -> None:
        self.model, self.base, self.output, self.tokenizer = model, base, output, tokenizer
        self.rotation_limit = rotation_limit
        self.depth: int = model.config.get_text_config().num_hidden_layers
        self.barred = barred_tokens(model, tokenizer)
        self.pads = base is not None or hides_padding(base_of(model))

    def groups(self, prompts: Sequence[str], new_tokens: int) -> list[list[int]]:
        """Rows of prompts that may share a batch without changing each other; raises as `continuations`."""
        if self.rotation_limit is None and self.pads:
            return [list(range(len(prompts)))]
        limit = self.rotation_limit or longest_sequence(self.model)
        found: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            length = len(_open_ids(self.model, self.tokenizer, prompt, new_tokens))
            turns = length <= limit < length + new_tokens  # all of a batch at the same token
            found.setdefault(length if turns or not self.pads else -int(length > limit), []).append(row)
        return list(found.values())

    def continuations(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor] = (),
    ) -> list[str]:
        """Continuations of one batch, without their prompts; raises as `LanguageModel.generate`."""
        rows = [_open_ids(self.model, self.tokenizer, prompt, config.new_tokens) for prompt in prompts]
        length = max(map(len, rows))
        room = length + config.new_tokens
        ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
        real = torch.arange(room) >= length - torch.tensor([[len(row)] for row in rows])
        ids = torch.cat([ids, ids.new_zeros(len(rows), config.new_tokens)], dim=1)
        ids, real = ids.to(self.barred.device), real.to(self.barred.device)
        sampler = Sampler(self.output, self.barred, seeds, config, processors)
        self._write(ids, real, length, sampler)
        return [
            _text_after(self.tokenizer, row, new)
            for row, new in zip(rows, ids[:, length:].tolist(), strict=True)
        ]

    def _write(
        self, ids: Int[Tensor, "text room"], real: Bool[Tensor, "text room"], begin: int, sampler: Sampler
    ) -> None:
        """Fill the columns of `ids` from `begin` on."""
        if self.base is None:
            ids[:, begin:] = _by_transformers(self.model, ids, real, begin, sampler)
            return
        reader = Reader(self.base, self.depth, ids.shape[1])
        states = reader.read(ids[:, :begin], real[:, :begin])
        for place in range(begin, ids.shape[1]):
            ids[:, place] = sampler.draw(states, place - begin, ids[:, :place], real[:, :place])
            if place + 1 < ids.shape[1]:
                known = place
                if place == self.rotation_limit:  # all is rotated otherwise, and read anew
                    reader, known = Reader(self.base, self.depth, ids.shape[1]), 0
                states = reader.read(ids[:, known : place + 1], real[:, : place + 1])


class _Drawing(LogitsProcessor):
    """Turns transformers' greedy search into our sampler: only the drawn token keeps a score."""

    def __init__(self, sampler: Sampler, real: Bool[Tensor, "text room"], begin: int) -> None:
        self.sampler, self.real, self.begin = sampler, real, begin

    def __call__(
        self, input_ids: Int[Tensor, "text seen"], scores: Float[Tensor, "text word"]
    ) -> Float[Tensor, "text word"]:
        seen = input_ids.shape[1]
        scores = self.sampler.processed(scores.float(), input_ids, self.real[:, :seen])
        drawn = self.sampler.drawn(scores, seen - self.begin)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn[:, None], 0.0)


def _by_transformers(
    model: Any, ids: Int[Tensor, "text room"], real: Bool[Tensor, "text room"], begin: int, sampler: Sampler
) -> Int[Tensor, "text new"]:
    """For models whose memory is not keys and values."""
    new_tokens = ids.shape[1] - begin
    # Complete, because transformers takes missing settings from the published model.
    settings = transformers.GenerationConfig(
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        pad_token_id=0,
        disable_compile=True,
    )
    written: Tensor = model.generate(
        ids[:, :begin],
        attention_mask=real[:, :begin].long(),
        generation_config=settings,
        logits_processor=LogitsProcessorList([_Drawing(sampler, real, begin)]),
    )
    return written[:, begin:]


def _open_ids(model: Any, tokenizer: Any, prompt: str, new_tokens: int) -> list[int]:
    encoded = tokenizer(prompt, return_special_tokens_mask=True)
    ids: list[int] = encoded["input_ids"]
    special = encoded["special_tokens_mask"]
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
        str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for ids in (prompt, prompt + written)
    )
    return both[len(before) :].rstrip("\ufffd")
