"""Memory that a model's work takes, and batches that halve where it does not fit."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from agent.errors import BasinError
from agent.language_model.output_layer import OutputLayer

logger = logging.getLogger(__name__)

ALLOCATOR = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "could not create a primitive",
    "could not create a memory",
)
"""Messages of torch errors without a type: on the CPU, in CUDA libraries, and by oneDNN."""

Result = TypeVar("Result")


@runtime_checkable
class Divisible(Protocol):
    """A batch that can be halved."""

    def __len__(self) -> int: ...
    def halves(self) -> tuple[Any, Any]: ...


Batch = TypeVar("Batch", bound=Divisible)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error).casefold() for each in ALLOCATOR)


def within_memory(
    batch: Batch, work: Callable[[Batch], Result], shrunk: Callable[[int], None]
) -> list[tuple[Batch, Result]]:
    """The batch and the result of `work`, or its parts in order where the whole does not fit.

    Args:
        shrunk: called with the rows of the half that is tried next.

    Raises:
        BasinError: not even one row fits.
    """
    try:
        return [(batch, work(batch))]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the handler: the error keeps its tensors alive.
    if len(batch) == 1:
        raise BasinError(
            "Memory is too small for the language model to read or write one single text: take shorter texts "
            "(language_model.max_tokens, generation.new_tokens), a smaller model, or another device."
        )
    release_memory()
    halves = batch.halves()
    shrunk(len(halves[0]))
    return [each for half in halves for each in within_memory(half, work, shrunk)]


def release_memory() -> None:
    """Free memory without references."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def total_memory() -> int:
    """Bytes of main memory of this machine; 2^62 if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**62


PROCESS = 0.7e9
"""Bytes of Python with the libraries loaded."""
SHARE = 0.5
"""Share of the memory for the work at hand."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a model's work takes beyond its weights."""

    weights: int
    """Bytes of the weights themselves; packed weights take as many again."""
    width: int
    inner: int
    heads: int
    """Width of keys and values of one layer together."""
    depth: int
    vocabulary: int
    losses: int
    """Bytes of the logits held at a time in scoring."""
    itemsize: int

    @classmethod
    def of(cls, model: Any) -> MemoryNeed:
        """Of a transformers model."""
        config = model.config.get_text_config()
        width = config.hidden_size
        queries = getattr(config, "num_attention_heads", None) or 1  # a model without attention has no heads
        one = getattr(config, "head_dim", None) or width // queries
        head = model.get_output_embeddings()
        inner = next(
            (
                size
                for name in ("intermediate_size", "ffn_dim", "n_inner")
                if (size := getattr(config, name, None))
            ),
            4 * width,
        )
        return cls(
            weights=sum(each.nbytes for each in model.parameters()),
            width=width,
            inner=inner,
            heads=2 * one * (getattr(config, "num_key_value_heads", None) or queries),
            depth=config.num_hidden_layers,
            vocabulary=head.weight.shape[0],
            losses=OutputLayer(head, config).bytes_at_a_time,
            itemsize=head.weight.dtype.itemsize,
        )

    def reading(self, tokens: int) -> int:
        """A batch of `tokens`: residual stream, norms in float32, inner layer of the perceptron."""
        return tokens * ((4 * self.width + 4 * self.inner) * self.itemsize + 8 * self.width)

    def writing(self, texts: int, length: int) -> int:
        """`texts` of `length` tokens with prompts: keys and values, and a row of scores each."""
        cache = length * self.depth * self.heads * self.itemsize
        return texts * (cache + 2 * self.vocabulary * (self.itemsize + 1))

    def teaching(self, tokens: int) -> int:
        """A training step over `tokens`, with all activations kept for the backward pass."""
        layer = (10 * self.width + 4 * self.inner) * self.itemsize + 12 * self.width
        if self.itemsize < 4:
            layer += 16 * self.width  # what attention keeps, see `agent/adapting/attention.py`
        return tokens * self.depth * layer + self.losses


def memory_at_hand(device: torch.device) -> int:
    """Bytes that the work at hand may take on this device."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.get_device_properties(device).total_memory)
    return int(SHARE * total_memory())


def most(need_of_one: int, wanted: int, room: int) -> int:
    """How many of `wanted` fit into `room`; at least one."""
    return max(1, min(wanted, room // max(need_of_one, 1)))


@dataclass(frozen=True)
class Rows:
    """Passages generated in one batch."""

    rows: Sequence[int]

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
