"""Pieces of work that die, wait or look at their worker; light, so that workers start quickly."""

import os
import signal
import time
from pathlib import Path

import numpy as np


def square(shared: int, item: int) -> int:
    return shared + item**2


def place_of_array(array: np.ndarray, item: int) -> tuple[int, bool, bool, float]:
    """The process, whether the array can be written, whether it is mapped from a file, one value."""
    mapped = isinstance(array, np.memmap) or isinstance(array.base, np.memmap)
    return os.getpid(), array.flags.writeable, mapped, float(array[item])


def threads_of_blas(matrix: np.ndarray, item: int) -> list[int]:
    from threadpoolctl import threadpool_info

    matrix @ matrix
    return [each["num_threads"] for each in threadpool_info()]


def die_the_first_time(folder: Path, item: int) -> int:
    note(folder, item)
    if item == 2 and len(runs(folder, item)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def die_always(folder: Path, item: int) -> int:
    """Piece 1 kills its worker; piece 0 is long, so that it is under way when that happens."""
    note(folder, item)
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1.5 if item == 0 else 0)
    return item


def refuse(kind: type[Exception], item: int) -> int:
    if item == 1:
        raise kind("no piece 1: leave it out.")
    return item


def work_until_killed(folder: Path, item: int) -> None:
    (folder / f"{os.getpid()}.worker").touch()
    time.sleep(60)


def node_of(shared: np.ndarray, item: int) -> tuple[str, float]:
    import ray

    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id(), float(shared[item])


def note(folder: Path, item: int) -> None:
    (folder / f"{item}.{time.monotonic_ns()}").touch()


def runs(folder: Path, item: int) -> list[Path]:
    return [*folder.glob(f"{item}.*")]
