"""Many independent pieces of work, over processes of this machine or a Ray cluster.

A worker that is killed loses only what was under way: that is tried again, and nothing finished is run twice.
"""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from agent.errors import BasinError, first_sentence

logger = logging.getLogger(__name__)

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

PROJECT = Path(__file__).resolve().parents[1]
LARGE = 1 << 16
"""Buffers of this many bytes and more are mapped from a file, smaller ones are copied to every worker."""
IN_FLIGHT_PER_CPU = 4
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_REACH = 5


def sweep(
    function: Callable[[Shared, Item], Result],
    shared: Shared,
    items: Mapping[str, Item],
    finished: Callable[[str, Result], None],
    *,
    workers: int = 1,
    ray_address: str | None = None,
    retries: int = 2,
    gpus_each: int = 0,
) -> None:
    """Call `function(shared, item)` for every item, and `finished(name, result)` here as soon as each is done.

    One worker and no Ray: in this process, in order. Else the function must be importable by name, everything
    picklable, and the order is that of completion; numpy arrays inside `shared` reach workers read-only.

    Args:
        ray_address: `local` starts Ray here with `workers` CPUs; `auto` or host:port joins a running cluster,
            whose machines have the project installed or at the same path.
        retries: how often an item is tried again when the worker that ran it was killed.
        gpus_each: GPUs that Ray gives to an item, where its cluster has any; processes of this machine see all of them.

    Raises:
        BasinError: an item's worker was killed more often than that, the temporary folder cannot be written,
            or Ray is not installed or not reached.
        Exception: the first that `function` or `finished` raised; what is still under way is stopped.
    """
    if ray_address is not None:
        _over_ray(
            function,
            shared,
            items,
            finished,
            address=ray_address,
            workers=workers,
            retries=retries,
            gpus=gpus_each,
        )
    elif workers > 1:
        _over_processes(function, shared, items, finished, workers=workers, retries=retries)
    else:
        for name, item in items.items():
            finished(name, function(shared, item))


def _over_processes(
    function: Callable[[Any, Any], Any],
    shared: object,
    items: Mapping[str, Any],
    finished: Callable[[str, Any], None],
    *,
    workers: int,
    retries: int,
) -> None:
    """One pool after the other, until all is done."""
    waiting = deque(items)
    deaths: Counter[str] = Counter()
    with _shipped((function, shared)) as folder, _one_thread_each():
        while waiting:
            last_try = {name for name in waiting if 0 < deaths[name] == retries}
            lost = _until_killed(folder, items, waiting, last_try, finished=finished, workers=workers)
            deaths.update(lost)
            if guilty := [name for name in lost if deaths[name] > retries]:
                raise BasinError(
                    f"A worker was killed each time it ran {_either(guilty)} ({_times(retries + 1)}), perhaps for"
                    " want of memory: give fewer workers or a smaller piece."
                )
            if lost:
                logger.info(f"A worker was killed while it ran {_either(lost)}: tried again.")
                waiting.extendleft(reversed(lost))


def _until_killed(
    folder: str,
    items: Mapping[str, Any],
    waiting: deque[str],
    last_try: set[str],
    *,
    finished: Callable[[str, Any], None],
    workers: int,
) -> list[str]:
    """Work off `waiting` in one pool; the names that were under way when a worker was killed, or none.

    No more are in flight than there are workers, and one at its last try is alone, so that blame is fair.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (os.getpid(), folder))
    running: dict[Future[Any], str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers and not last_try & {*running.values()}:
                if running and waiting[0] in last_try:
                    break
                name = waiting.popleft()
                try:
                    running[pool.submit(_run_piece, folder, items[name])] = name
                except BrokenProcessPool:
                    waiting.appendleft(name)
                    break
            if not running:  # the pool broke while nothing was under way
                return [waiting.popleft()]
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            errors = [error for future in done if (error := future.exception())]
            for future in [future for future in done if not future.exception()]:
                finished(running.pop(future), future.result())
            for error in errors:
                if not isinstance(error, BrokenProcessPool):
                    raise error
            if errors:
                return [*running.values()]
        return []
    except BaseException:
        for process in [*(pool._processes or {}).values()]:  # Python 3.14 has kill_workers for this
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _shipped(work: object) -> Iterator[str]:
    """A temporary folder with `work` pickled in one file and its large buffers, end to end, in another."""
    with TemporaryDirectory(prefix="basin-", ignore_cleanup_errors=True) as folder:
        spans: list[tuple[int, int]] = []
        try:
            with open(Path(folder, "buffers"), "wb") as buffers:

                def keep_inside(buffer: pickle.PickleBuffer) -> bool:
                    raw = buffer.raw()
                    if raw.nbytes < LARGE:
                        return True
                    start = -(-buffers.tell() // mmap.PAGESIZE) * mmap.PAGESIZE
                    buffers.seek(start)
                    buffers.write(raw)
                    spans.append((start, start + raw.nbytes))
                    return False

                pickled = pickle.dumps(work, protocol=5, buffer_callback=keep_inside)
            Path(folder, "work").write_bytes(pickle.dumps(spans) + pickled)
        except OSError as error:
            raise BasinError(
                f"The temporary folder {folder} cannot be written ({error.strerror or error}): set TMPDIR to one"
                " with room."
            ) from None
        yield folder


@cache
def _received(folder: str) -> tuple[Callable[[Any, Any], Any], Any]:
    """What was shipped, read once in a worker; its large arrays are views of the one file all workers map."""
    with open(Path(folder, "work"), "rb") as work, open(Path(folder, "buffers"), "rb") as buffers:
        spans = pickle.load(work)
        mapped = memoryview(mmap.mmap(buffers.fileno(), 0, access=mmap.ACCESS_READ) if spans else b"")
        received = pickle.load(work, buffers=[mapped[start:stop] for start, stop in spans])
    threadpool_limits(1)  # the libraries that are loaded already; the environment tells the others
    return received


def _run_piece(folder: str, item: object) -> object:
    """Read here and not as the worker begins, so that what cannot be read is an error and not a dead worker."""
    function, shared = _received(folder)
    return function(shared, item)


def _begin_worker(driver: int, folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver too, which ends its workers
    Thread(target=_end_with, args=(driver, folder), daemon=True).start()


def _end_with(driver: int, folder: str) -> None:
    while os.getppid() == driver:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started inside load their mathematics with one thread."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _over_ray(
    function: Callable[[Any, Any], Any],
    shared: object,
    items: Mapping[str, Any],
    finished: Callable[[str, Any], None],
    *,
    address: str,
    workers: int,
    retries: int,
    gpus: int,
) -> None:
    """Tasks of one CPU each; Ray itself tries again what a killed worker ran."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise BasinError(
            "Work over a cluster needs Ray, which is missing: pip install 'basin[ray]'."
        ) from None
    ours = not ray.is_initialized()
    if ours:
        _connect(address, workers)
    waiting, running = deque(items), {}
    try:
        environment = {"env_vars": {"PYTHONPATH": _import_paths(), "OMP_NUM_THREADS": "1"}}
        gpus = gpus if ray.cluster_resources().get("GPU") else 0
        options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": retries, "runtime_env": environment}
        task = ray.remote(_run_task).options(**options)
        work = ray.put((function, shared))
        while waiting or running:
            in_flight = IN_FLIGHT_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(running) < in_flight:
                name = waiting.popleft()
                running[task.remote(work, items[name])] = name
            (done, *_), _ = ray.wait([*running], num_returns=1)
            name = running.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise BasinError(
                    f"Ray could not run {name}, tried {_times(retries + 1)} ({first_sentence(error)}): give its"
                    " machines more memory, or a smaller piece."
                ) from error
            finished(name, result)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _connect(address: str, workers: int) -> None:
    """Start Ray here, or join a cluster that answers; raises as `sweep`."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        try:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        except Exception as error:  # Ray has no class of its own for a start that takes too long
            raise BasinError(
                f"Ray did not start on this machine ({first_sentence(error)}): free memory and processors, or work without it"
                " (--workers)."
            ) from error
        return
    try:
        if address != "auto":  # Ray would wait for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), SECONDS_TO_REACH).close()
        ray.init(address, **quiet)
    except (OSError, ValueError, OverflowError, RuntimeError, ray.exceptions.RayError) as error:
        raise BasinError(
            f"No Ray cluster is reached at {address} ({first_sentence(error)}): start one with `ray start --head`,"
            " give its host:port, or `local`; where Ray itself is broken, pip install 'basin[ray]'."
        ) from None


def _run_task(work: tuple[Callable[[Any, Any], Any], Any], item: object) -> object:
    function, shared = work
    with threadpool_limits(1):
        return function(shared, item)


def _import_paths() -> str:
    """The project's root and the folders this process imports from, as far as they are no Python's own."""
    own = (sys.prefix, sys.base_prefix)
    folders = [os.path.abspath(path) for path in sys.path if not path.startswith(own)]
    return os.pathsep.join(dict.fromkeys([str(PROJECT), *folders]))


def _either(names: list[str]) -> str:
    shown = names[:5] + ([f"{len(names) - 5} others"] if len(names) > 5 else [])
    return " or ".join(shown)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
