"""Work that does not fit into memory, done in halves: results are the same but for rounding, and only the time is lost."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from agent.errors import BasinError

ALLOCATOR = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "could not create a primitive",
    "could not create a memory",
)
"""How torch says it where it has no type of its own for it: on the CPU, in some CUDA libraries, and by oneDNN."""

Result = TypeVar("Result")


@runtime_checkable
class Divisible(Protocol):
    """A batch that can be halved."""

    def __len__(self) -> int: ...
    def halves(self) -> tuple[Any, Any]: ...


Batch = TypeVar("Batch", bound=Divisible)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what running out of memory looks like."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error).casefold() for each in ALLOCATOR)


def within_memory(
    batch: Batch, work: Callable[[Batch], Result], shrunk: Callable[[int], None]
) -> list[tuple[Batch, Result]]:
    """The batch and what `work` makes of it, or its parts in order where the whole does not fit.

    Args:
        shrunk: told the rows of the half that is tried next.

    Raises:
        BasinError: not even one row fits.
    """
    try:
        return [(batch, work(batch))]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the handler, or the error would keep what it holds alive.
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
    """Give back what nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def total_memory() -> int:
    """Bytes of main memory that this machine has; without a way to ask, as good as endless."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**62
