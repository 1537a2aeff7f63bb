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
    """What generating with one model needs.

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
        """Rows of prompts that may share a batch without changing each other; raises as `Draft`."""
        if self.rotation_limit is None and self.pads:
            return [list(range(len(prompts)))]
        limit = self.rotation_limit or longest_sequence(self.model)
        found: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            length = len(open_ids(self.model, self.tokenizer, prompt, new_tokens))
            turns = length <= limit < length + new_tokens  # all of a batch at the same token
            found.setdefault(length if turns or not self.pads else -int(length > limit), []).append(row)
        return list(found.values())


class Draft:
    """The texts of one batch, written block by block; raises as `LanguageModel.generate`."""

    def __init__(
        self,
        writer: Writer,
        prompts: Sequence[str],
        seeds: Sequence[int],
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor] = (),
    ) -> None:
        model, device = writer.model, writer.barred.device
        self.writer, self.prompts = writer, prompts
        self.rows = [open_ids(model, writer.tokenizer, prompt, config.new_tokens) for prompt in prompts]
        self.begin = self.end = length = max(map(len, self.rows))
        ids = torch.tensor([[0] * (length - len(row)) + row for row in self.rows])
        self.ids = torch.cat([ids, ids.new_zeros(len(ids), config.new_tokens)], dim=1).to(device)
        padding = length - torch.tensor([[len(row)] for row in self.rows])
        self.real = (torch.arange(self.ids.shape[1]) >= padding).to(device)
        self.sampler = Sampler(writer.output, writer.barred, seeds, config, processors)
        self.reader: Reader | None = None

    def write(self, tokens: int) -> None:
        """Write the next tokens of every text."""
        writer, last = self.writer, self.end + tokens
        if writer.base is None:
            self.ids[:, self.end : last] = _by_transformers(self, tokens)
        else:
            for place in range(self.end, last):
                if self.reader is None or place - 1 == writer.rotation_limit:  # all is rotated otherwise
                    self.reader = Reader(writer.base, writer.depth, self.ids.shape[1])
                known = self.reader.cache.get_seq_length()
                states = self.reader.read(self.ids[:, known:place], self.real[:, :place])
                self.ids[:, place] = self.sampler.draw(
                    states, place - self.begin, self.ids[:, :place], self.real[:, :place]
                )
        self.end = last

    def keep(self, rows: Int[Tensor, "text"]) -> None:
        """Put a copy of text `rows[i]`, of an equally long prompt, in place i; seeds stay in place."""
        rows = rows.to(self.ids.device)
        self.ids = self.ids[rows]
        if self.reader is not None:
            self.reader.cache.reorder_cache(rows)

    def texts(self) -> list[str]:
        """The continuations so far, without their prompts."""
        written = self.ids[:, self.begin : self.end].tolist()
        return [text_after(self.writer.tokenizer, *each) for each in zip(self.rows, written, strict=True)]


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


def _by_transformers(draft: Draft, new_tokens: int) -> Int[Tensor, "text new"]:
    """For models whose memory is not keys and values: all is read anew."""
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
    written: Tensor = draft.writer.model.generate(
        draft.ids[:, : draft.end],
        attention_mask=draft.real[:, : draft.end].long(),
        generation_config=settings,
        logits_processor=LogitsProcessorList([_Drawing(draft.sampler, draft.real, draft.begin)]),
    )
    return written[:, draft.end :]


def open_ids(model: Any, tokenizer: Any, prompt: str, new_tokens: int) -> list[int]:
    """The tokens of a prompt; raises `BasinError` for none, or too many for `new_tokens` more."""
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


def text_after(tokenizer: Any, prompt: list[int], written: list[int]) -> str:
    """The text of the written tokens, as it stands after the prompt."""
    # Decoded together: many tokenizers drop the space before a sequence's first word.
    before, both = (
        str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for ids in (prompt, prompt + written)
    )
    return both[len(before) :].rstrip("\ufffd")
