"""Batch sizes of a language model, which halve where memory is short."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from agent.language_model.memory import MemoryNeed, memory_at_hand, most

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """Passages generated in one batch."""

    rows: range

    def __len__(self) -> int:
        return len(self.rows)

    def halves(self) -> tuple[Rows, Rows]:
        middle = (len(self) + 1) // 2
        return Rows(self.rows[:middle]), Rows(self.rows[middle:])


class BatchPolicy:
    """How much one model reads and generates at a time.

    Args:
        need: memory that the model's work takes.
        wanted_tokens: tokens of a batch, with its padding, if memory allows.
    """

    def __init__(self, need: MemoryNeed, device: torch.device, wanted_tokens: int) -> None:
        self.need, self.device = need, device
        self.tokens = self._first_tokens = self._fit(need.reading(1), wanted_tokens)
        """Tokens of a batch, with its padding."""
        self.rows: int | None = None
        """Passages generated at a time, once memory was too small for as many as configured."""

    def passages(self, wanted: int, length: int) -> int:
        """Passages of `length` tokens to generate at a time, `wanted` at most."""
        fitting = self._fit(self.need.writing(1, length), wanted)
        return min(self.rows or fitting, fitting)

    def read_less(self, _rows: int) -> None:
        """Memory was too small for a batch of tokens: later batches are half as large."""
        if self.tokens == self._first_tokens:
            logger.info(
                f"Memory is too small for batches of {self.tokens} tokens: halved until they fit "
                "(language_model.batch_tokens)."
            )
        self.tokens = max(1, self.tokens // 2)

    def generate_less(self, rows: int) -> None:
        """Memory was too small for a batch of passages: later ones have `rows`."""
        if self.rows is None:
            logger.info(
                f"Memory is too small to generate as many passages at a time: {rows} or fewer from here on "
                "(generation.batch_size)."
            )
        self.rows = rows

    def _fit(self, need_of_one: int, wanted: int) -> int:
        return most(need_of_one, wanted, memory_at_hand(self.device) - 2 * self.need.weights)
