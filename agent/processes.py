"""Processes of one `accelerate launch`: the first decides, and the others compute what it sends.

Functions and results travel by gloo, through main memory. Gradients travel by the backend that
accelerate chooses. Without a launch, every function here works on this process alone.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from agent.errors import BasinError, first_sentence

if TYPE_CHECKING:  # torch is slow to import
    from torch.distributed import ProcessGroup

Item = TypeVar("Item")
Result = TypeVar("Result")

TO_MEET, TO_WAIT = timedelta(minutes=5), timedelta(days=30)
"""For all processes to arrive, and between two pieces of work."""
_groups: list[ProcessGroup] = []
"""The group that functions and results travel by, once this process has joined."""


def launched() -> int:
    """The number of processes in the launch that started this one; 1 without a launch."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdigit() and "RANK" in os.environ else 1


def count() -> int:
    """The number of processes that share work."""
    return _groups[0].size() if _groups else 1


def join(about: Mapping[str, Any]) -> int:
    """Meet the other processes, and return this one's number.

    Args:
        about: versions and settings that must be the same everywhere.

    Raises:
        BasinError: processes did not meet, differ in `about`, or are more than GPUs.
    """
    import torch
    import torch.distributed as dist

    for name in [each for each in os.environ if each.startswith(("ACCELERATE_", "FSDP_"))]:
        del os.environ[name]  # of the user's accelerate configuration, which is for other trainings
    from accelerate import PartialState

    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < gpus < here:
        raise BasinError(f"{platform.node()} has {gpus} GPUs for {here} processes: start one for each GPU.")
    backend = {"backend": "cpu:gloo,cuda:nccl"} if gpus else {}
    try:
        number = int(PartialState(cpu=not gpus, timeout=TO_MEET, **backend).process_index)
        _groups.append(dist.new_group(backend="gloo", timeout=TO_WAIT))
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise BasinError(
            f"The {launched()} processes did not meet at {place} ({first_sentence(error)}): start all "
            "machines within five minutes, and check that each reaches this address."
        ) from None
    others = [("", about)] * count()
    dist.all_gather_object(others, (platform.node(), about), _groups[0])
    host, first = others[0]
    for node, each in others[1:]:
        if differing := [name for name in about if each[name] != first[name]]:
            name = differing[0]
            raise BasinError(
                f"{node} has {name} {each[name]}, and {host} has {first[name]}: use the same on every machine."
            )
    return number


def share(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work(item)` of every item, item k by process k; at most `count()` items.

    Raises:
        BasinError: an item's work failed, with the process and its machine, or a process was lost.
    """
    if count() == 1:
        return [work(item) for item in items]
    import torch.distributed as dist

    found: list[Any] = [None] * count()
    with _connected():
        _send((work, items))
        dist.gather_object(_outcome(work, items, 0), found, 0, _groups[0])
    results: list[Result] = []
    for result, error in found[: len(items)]:
        if error:
            raise BasinError(error)
        results.append(result)
    return results


def spread(work: Callable[[Item], Any], cut: Callable[[slice], Item], length: int) -> list[Any]:
    """The results of `length` inputs, in their order; each process computes every `count()`-th.

    Args:
        work: a sequence of results, from what `cut` returns.
        cut: the inputs of a slice.

    Raises:
        BasinError: as `share`.
    """
    size = min(count(), length)
    parts = share(work, [cut(slice(at, None, size)) for at in range(size)])
    return [parts[at % size][at // size] for at in range(length)]


@contextmanager
def together(work: Callable[[], object]) -> Iterator[None]:
    """The other processes call `work` while the block runs here, in step by collective operations.

    Raises:
        BasinError: another process was lost, as one is where its `work` fails.
    """
    if count() == 1:
        yield
        return
    with _connected():
        _send((work, None))
        yield


def serve() -> None:
    """Compute what the first process sends, until it dismisses this one or is lost.

    Raises:
        BasinError: work in step failed; the launcher then ends all processes.
    """
    import torch.distributed as dist

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)  # the first process says why it stops
    logging.disable(logging.WARNING)
    number = dist.get_rank()
    try:
        while True:
            box: list[Any] = [None]
            dist.broadcast_object_list(box, 0, _groups[0])
            if box[0] is None:
                return
            work, items = box[0]
            if items is None:
                work()
            else:
                dist.gather_object(_outcome(work, items, number), None, 0, _groups[0])
    except BasinError as error:
        raise BasinError(_named(number, error)) from None
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        sys.exit(1)  # the first process says why, or was killed


def leave(finished: bool) -> None:
    """Leave the launch; the first process dismisses the others where all is finished.

    Otherwise they may be amid other work, and end as soon as they find this process gone.
    """
    import torch.distributed as dist

    if _groups:
        with suppress(RuntimeError):  # they are gone
            if finished and dist.get_rank() == 0:
                _send(None)
        _groups.clear()
        dist.destroy_process_group()


def _send(task: object) -> None:
    import torch.distributed as dist

    dist.broadcast_object_list([task], 0, _groups[0])


def _outcome(work: Callable[[Any], Any], items: Sequence[Any], number: int) -> tuple[Any, str | None]:
    """The result of this process's item, or the sentence that says why there is none."""
    try:
        return (work(items[number]) if number < len(items) else None), None
    except BasinError as error:
        return None, _named(number, error) if number else str(error)


def _named(number: int, error: BasinError) -> str:
    return f"Process {number} on {platform.node()}: {error}"


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise BasinError(
            "Another process of this launch ended: read its message, if it left one, and continue with `basin "
            "resume`; whole rounds and finished batches are kept."
        ) from None


def _is_lost(error: RuntimeError) -> bool:
    """Whether a collective operation failed because a process is gone."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error)
