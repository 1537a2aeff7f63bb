"""Padded token batches of texts of similar length, with masks of pooled and scored tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from agent.language_model.token_counts import token_lengths


@dataclass(frozen=True)
class TokenBatch:
    """Some of the texts, padded to one length."""

    rows: tuple[int, ...]
    """Indices of the texts."""
    ids: Int[Tensor, "text token"]
    real: Bool[Tensor, "text token"]
    """Not padding: the attention mask."""
    pooled: Bool[Tensor, "text token"]
    """In the mean activation: not padding, not special, not the sequence's first position, which is an
    attention sink: its residual stream is a hundred times longer and would dominate the mean."""
    scored: Bool[Tensor, "text token"]
    """Its loss counts: not special, not in the prefix, and predicted from an earlier token."""
    ends: Int[Tensor, "text token"]
    """Characters of the text, without its prefix, read with each token; 0 for other tokens. Where they
    are equal, two models of different tokenizers have read the same text. Of no use where the
    tokenizer is not fast: transformers' Python tokenizers know no characters."""

    @property
    def positions(self) -> Int[Tensor, "text token"]:
        """Positions, independent of the side of the padding."""
        return (self.real.long().cumsum(1) - 1).clamp(min=0)

    def __len__(self) -> int:
        return len(self.rows)

    def halves(self) -> tuple[TokenBatch, TokenBatch]:
        """The first half of the texts, and the rest."""
        middle = (len(self) + 1) // 2
        parts = (self.ids, self.real, self.pooled, self.scored, self.ends)
        first, rest = slice(None, middle), slice(middle, None)
        return (
            TokenBatch(self.rows[first], *(part[first] for part in parts)),
            TokenBatch(self.rows[rest], *(part[rest] for part in parts)),
        )

    def to(self, device: torch.device) -> TokenBatch:
        parts = (self.ids, self.real, self.pooled, self.scored, self.ends)
        return TokenBatch(self.rows, *(part.to(device) for part in parts))


@dataclass(frozen=True)
class _Row:
    ids: list[int]
    content: list[bool]
    scored: list[bool]
    ends: list[int]


def token_batches(
    tokenizer: Any,
    texts: Sequence[str],
    prefixes: Sequence[str] | None = None,
    *,
    max_tokens: int = 512,
    batch_tokens: int = 4096,
    side: Literal["left", "right"] = "right",
    rotation_limit: int | None = None,
    on_cut: Callable[[list[int]], None] | None = None,
) -> Iterator[TokenBatch]:
    """Batches in rising order of length, each of at most `batch_tokens` tokens with its padding.

    Prefix and text are tokenized as one string; only the text's own tokens are pooled and scored.
    Longer sequences are cut to `max_tokens`, and `on_cut` gets the uncut lengths of all. No batch has
    texts on both sides of `rotation_limit`.
    """
    rows = _tokenize(tokenizer, texts, prefixes, max_tokens)
    if on_cut and any(len(row.ids) >= max_tokens for row in rows):
        on_cut(_uncut_lengths(tokenizer, rows, texts, prefixes, max_tokens))
    order = sorted(range(len(rows)), key=lambda row: len(rows[row].ids))
    start = 0
    while start < len(order):
        stop, first = start + 1, len(rows[order[start]].ids)
        while stop < len(order):
            length = len(rows[order[stop]].ids)
            turns = rotation_limit is not None and first <= rotation_limit < length
            if (stop + 1 - start) * length > batch_tokens or turns:
                break
            stop += 1
        yield _pad([rows[row] for row in order[start:stop]], tuple(order[start:stop]), side)
        start = stop


def _tokenize(
    tokenizer: Any, texts: Sequence[str], prefixes: Sequence[str] | None, max_tokens: int
) -> list[_Row]:
    if not texts:
        return []
    prefixes = [""] * len(texts) if prefixes is None else prefixes
    encoded = tokenizer(
        [prefix + text for prefix, text in zip(prefixes, texts, strict=True)],
        truncation=True,
        max_length=max_tokens,
        return_special_tokens_mask=True,
        return_offsets_mapping=tokenizer.is_fast,
    )
    rows = []
    for index, (ids, special, prefix) in enumerate(
        zip(encoded["input_ids"], encoded["special_tokens_mask"], prefixes, strict=True)
    ):
        if tokenizer.is_fast:
            # A token that straddles the seam belongs to the text: it ends in it.
            read = [end - len(prefix) for _, end in encoded["offset_mapping"][index]]
        else:
            own = len(os.path.commonprefix([tokenizer(prefix)["input_ids"], ids])) if prefix else 0
            read = [int(place >= own) for place in range(len(ids))]
        content = [not flag and end > 0 for flag, end in zip(special, read, strict=True)]
        scored = [flag and place > 0 for place, flag in enumerate(content)]
        ends = [end if flag else 0 for flag, end in zip(content, read, strict=True)]
        rows.append(_Row(ids, content, scored, ends))
    return rows


def _uncut_lengths(
    tokenizer: Any, rows: list[_Row], texts: Sequence[str], prefixes: Sequence[str] | None, max_tokens: int
) -> list[int]:
    lengths = [len(row.ids) for row in rows]
    full = [at for at, length in enumerate(lengths) if length >= max_tokens]
    whole = [(prefixes[at] if prefixes else "") + texts[at] for at in full]
    for at, length in zip(full, token_lengths(tokenizer, whole), strict=True):
        lengths[at] = length
    return lengths


def _pad(rows: list[_Row], indices: tuple[int, ...], side: Literal["left", "right"]) -> TokenBatch:
    length = max(1, max(len(row.ids) for row in rows))
    ids, ends = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(2))
    real, pooled, scored = (torch.zeros(len(rows), length, dtype=torch.bool) for _ in range(3))
    for index, row in enumerate(rows):
        span = slice(length - len(row.ids), length) if side == "left" else slice(0, len(row.ids))
        ids[index, span] = torch.tensor(row.ids, dtype=torch.long)
        real[index, span] = True
        # A text of one token pools its first position.
        pooled[index, span] = torch.tensor(row.scored if any(row.scored) else row.content, dtype=torch.bool)
        scored[index, span] = torch.tensor(row.scored, dtype=torch.bool)
        ends[index, span] = torch.tensor(row.ends, dtype=torch.long)
    return TokenBatch(indices, ids, real, pooled, scored, ends)
