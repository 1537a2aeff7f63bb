"""Independent pieces of work over processes of this machine, or over a Ray cluster, by joblib."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from agent import processes
from agent.errors import BasinError, first_sentence
from agent.progress import advance

if TYPE_CHECKING:  # workers that need no language model start without these
    from agent.concept import Concept
    from agent.language_model.decoding.config import GenerationConfig
    from agent.language_model.load import LanguageModelConfig
    from agent.language_model.model import LanguageModel

logger = logging.getLogger(__name__)

Piece = TypeVar("Piece")
Result = TypeVar("Result")
Batch = tuple[Sequence[str], Sequence[int]]
"""Prompts and their seeds."""

PROJECT = Path(__file__).resolve().parents[1]
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_REACH = 5
PIECES_PER_CPU = 4
"""Pieces that a Ray cluster gets at once: more balance better, fewer lose less when the driver is
killed.
"""


def run_pieces(
    work: Callable[[Piece], Result],
    pieces: Mapping[str, Piece],
    *,
    workers: int = 1,
    ray: str | None = None,
    gpus: int = 0,
) -> Iterator[tuple[str, Result]]:
    """Yield each piece's name and `work(piece)` as soon as it is finished.

    One worker without Ray runs here, in order, and in a launch of several processes each of them is
    a worker, whatever the other arguments say. Otherwise everything must be picklable, each worker
    computes with one thread, and large arrays inside `work` reach local workers read-only, mapped
    from one file. A piece whose worker was killed is tried once more, alone. Save each result as it
    comes: a driver that is killed ends its workers and loses only the pieces under way.

    Args:
        ray: `local` starts Ray here with `workers` CPUs; `auto` or host:port joins a cluster.
        gpus: GPUs that Ray gives to a piece, where its cluster has any.

    Raises:
        BasinError: a piece killed its worker twice; Ray is not installed or not reached.
        Exception: the first that `work` raised; pieces under way are stopped.
    """
    if processes.count() > 1:
        yield from _over_launch(work, pieces)
    elif ray is not None:
        yield from _over_ray(work, pieces, address=ray, workers=workers, gpus=gpus)
    elif workers > 1:
        yield from _over_processes(work, pieces, workers)
    else:
        for name, piece in pieces.items():
            yield name, work(piece)


def _over_launch(
    work: Callable[[Piece], Result], pieces: Mapping[str, Piece]
) -> Iterator[tuple[str, Result]]:
    """Waves of as many pieces as the launch has processes."""
    names, size = list(pieces), processes.count()
    for wave in (names[at : at + size] for at in range(0, len(names), size)):
        yield from zip(wave, processes.share(work, [pieces[name] for name in wave]), strict=True)


def _over_processes(
    work: Callable[[Piece], Result], pieces: Mapping[str, Piece], workers: int
) -> Iterator[tuple[str, Result]]:
    waiting, retried = dict(pieces), set[str]()
    try:
        while waiting:
            suspects = [name for name in waiting if name in retried]
            batch = {name: waiting[name] for name in suspects[:1] or waiting}
            started: list[str] = []
            try:
                for name, result in _run_batch(work, batch, workers, started):
                    del waiting[name]
                    yield name, result
            except TerminatedWorkerError:
                lost = [name for name in started if name in waiting]
                if suspects:
                    raise BasinError(
                        f"{suspects[0]} killed its worker twice, perhaps for want of memory: give fewer "
                        "workers or a smaller piece."
                    ) from None
                logger.info(f"A worker was killed while it ran {' or '.join(lost)}: tried again.")
                retried.update(lost)
    finally:
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def _run_batch(
    work: Callable[[Piece], Result], batch: Mapping[str, Piece], workers: int, started: list[str]
) -> Iterator[tuple[str, Result]]:
    """Results of one pool; `started` gets the names as workers take them."""

    def calls() -> Iterator[Any]:
        for name, piece in batch.items():
            started.append(name)
            yield delayed(_named)(work, name, piece)

    options = {"inner_max_num_threads": 1, "initializer": _begin_worker, "initargs": (os.getpid(),)}
    with parallel_config("loky", n_jobs=workers, **options):
        pool = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=workers)
        with contextlib.closing(pool(calls())) as results:
            yield from results


def _named(work: Callable[[Piece], Result], name: str, piece: Piece) -> tuple[str, Result]:
    with threadpool_limits(1):
        return name, work(piece)


def _begin_worker(driver: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver too, which ends its workers
    Thread(target=_end_with, args=(driver,), daemon=True).start()


def _end_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _over_ray(
    work: Callable[[Piece], Result], pieces: Mapping[str, Piece], *, address: str, workers: int, gpus: int
) -> Iterator[tuple[str, Result]]:
    """Waves of pieces, since Ray's backend of joblib gives no result before its wave is over."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise BasinError(
            "Work over a cluster needs Ray, which is missing: pip install 'basin[ray]'."
        ) from None
    ours = not ray.is_initialized()
    if ours:
        _connect(address, workers)
    register_ray()
    try:
        resources = ray.cluster_resources()
        cpus = max(2, int(resources.get("CPU", 1)))
        environment = {"env_vars": {"PYTHONPATH": _import_paths(), "OMP_NUM_THREADS": "1"}}
        actors = {"num_cpus": 1, "num_gpus": gpus if resources.get("GPU") else 0, "runtime_env": environment}
        actors |= {"max_restarts": -1, "max_task_retries": 1}
        shipped = ray.put(work)
        names = list(pieces)
        each = PIECES_PER_CPU * cpus
        waves = [names[at : at + each] for at in range(0, len(names), each)]
        backend = parallel_config("ray", n_jobs=cpus, ray_remote_args=actors, max_nbytes=None)
        with backend, Parallel(batch_size=1, pre_dispatch="all") as pool:
            for wave in waves:
                yield from pool(delayed(_ray_piece)(shipped, name, pieces[name]) for name in wave)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise BasinError(
            f"Ray could not run a piece, tried twice ({first_sentence(error)}): give its machines more "
            "memory, or a smaller piece."
        ) from error
    finally:
        if ours:
            ray.shutdown()


def _ray_piece(shipped: Any, name: str, piece: Any) -> tuple[str, Any]:
    import ray

    return _named(ray.get(shipped), name, piece)


def _connect(address: str, workers: int) -> None:
    """Start Ray here, or join a cluster that answers; raises as `run_pieces`."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        try:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        except Exception as error:  # Ray has no class of its own for a start that takes too long
            raise BasinError(
                f"Ray did not start on this machine ({first_sentence(error)}): free memory and "
                "processors, or use --workers without --ray."
            ) from error
        return
    try:
        if address != "auto":  # Ray would wait for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), SECONDS_TO_REACH).close()
        ray.init(address, **quiet)
    except (OSError, ValueError, OverflowError, RuntimeError, ray.exceptions.RayError) as error:
        raise BasinError(
            f"No Ray cluster is reached at {address} ({first_sentence(error)}): start one with "
            "`ray start --head`, give its host:port, or `local`; where Ray itself is broken, "
            "pip install 'basin[ray]'."
        ) from None


def _import_paths() -> str:
    """The project's root and the folders this process imports from, without Python's own."""
    own = (sys.prefix, sys.base_prefix)
    folders = [os.path.abspath(path) for path in sys.path if not path.startswith(own)]
    return os.pathsep.join(dict.fromkeys([str(PROJECT), *folders]))


def prepare_writing(language_model: LanguageModel, config: GenerationConfig, batch: int | None) -> None:
    """Check the engine that writes, and load the model in every process of a launch.

    Args:
        batch: windows of a step of teaching; None where the run trains no adapter.

    Raises:
        BasinError: vLLM cannot write, a process cannot load the model or loaded another one, the
            model has a device of its own, or a step cannot be shared.
    """
    if config.engine == "vllm":
        from agent.language_model.decoding.vllm_engine import check_engine

        check_engine(language_model)
    if (size := processes.count()) == 1:
        return
    if (device := language_model.config.device) not in ("auto", "cpu", "cuda"):
        raise BasinError(
            f"A launch gives each process its own GPU, and language_model.device is {device}: leave it at auto."
        )
    if batch and batch % size:
        raise BasinError(
            f"A step of {batch} windows is not shared evenly by {size} processes: set "
            f"updating.adapting.lora.batch to a multiple of {size}, or start fewer."
        )
    from agent.language_model.model import keep_loaded

    keep_loaded(language_model)
    logger.info(f"{size} processes record, write and teach together")
    if (samples := config.samples) < size:
        logger.warning(
            f"A round generates {samples} passages, so {size - samples} of {size} processes write nothing: start "
            "fewer, or raise generation.samples."
        )
    found = processes.share(_fingerprint, [language_model.config] * size)
    for number, each in enumerate(found):
        if each != language_model.fingerprint:
            raise BasinError(
                f"Process {number} has other weights, or another kind of device, for "
                f"{language_model.config.name}: give every machine the same model."
            )


def _fingerprint(config: LanguageModelConfig) -> str:
    from agent.language_model.model import loaded

    found: str = loaded(config).fingerprint
    return found


def record_passages(
    language_model: LanguageModel, texts: Sequence[str], *, workers: int = 1, ray: str | None = None
) -> Float[np.ndarray, "text layer width"]:
    """`record_cached`, where several workers or processes first record what the cache lacks.

    Every worker loads the configured model by itself. Pieces are whole files of the cache, so a
    kill loses only those under way. One thread a worker changes numbers by rounding.

    Raises:
        BasinError: as `record_cached` and `run_pieces`.
    """
    from agent.language_model.activation_cache import (
        CHUNK,
        in_order,
        is_recorded,
        keep_recorded,
        record_cached,
        texts_a_file,
    )

    if workers > 1 or ray is not None or processes.count() > 1:
        ordered = in_order(texts)
        starts = range(0, len(ordered), CHUNK)
        parts = {f"passages {at + 1} to {at + CHUNK}": tuple(ordered[at : at + CHUNK]) for at in starts}
        missing = {name: part for name, part in parts.items() if not is_recorded(language_model, part)}
        size, count = texts_a_file(language_model), sum(map(len, missing.values()))
        done = 0
        record = partial(_record, language_model.config)
        for name, rows in run_pieces(record, missing, workers=workers, ray=ray, gpus=1):
            keep_recorded(missing[name], rows, language_model.fingerprint, size)
            done += len(missing[name])
            advance("record", done, count, "texts")
    return record_cached(language_model, texts)


def _record(config: LanguageModelConfig, texts: tuple[str, ...]) -> Float[np.ndarray, "text layer width"]:
    from agent.language_model.activation_cache import record_cached
    from agent.language_model.model import loaded

    return np.asarray(record_cached(loaded(config), texts))


def generate_passages(
    language_model: LanguageModel,
    concept: Concept,
    batches: Mapping[str, Batch],
    config: GenerationConfig,
    *,
    workers: int = 1,
    ray: str | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Yield each batch's name and its continuations, steered and adapted by `concept`, as they
    finish.

    A passage depends on its prompt and its seed, and on its batch by rounding: the same batches
        give the same passages with any number of workers, up to rounding.

    Args:
        concept: without vector and adapter, the base model writes.

    Raises:
        BasinError: as `LanguageModel.generate` and `run_pieces`.
    """
    if config.engine == "vllm":
        from agent.language_model.decoding import vllm_engine

        by_vllm = partial(vllm_engine.generate, adapter=concept.adapter, vector=concept.vector)
        for name, (prompts, seeds) in batches.items():
            yield name, by_vllm(language_model, prompts, seeds, config)
        return
    if processes.count() > 1:
        write = partial(_generate, language_model.config, concept, config)
        for name, batch in batches.items():
            yield name, processes.spread(write, partial(_cut, batch), len(batch[0]))
        return
    if len(batches) < 2 or (workers == 1 and ray is None):
        writer = language_model.adapted(concept.adapter) if batches else language_model
        for name, (prompts, seeds) in batches.items():
            yield name, writer.generate(prompts, seeds, config, concept.vector)
        return
    write = partial(_generate, language_model.config, concept, config)
    yield from run_pieces(write, batches, workers=workers, ray=ray, gpus=1)


def _cut(batch: Batch, part: slice) -> Batch:
    prompts, seeds = batch
    return prompts[part], seeds[part]


_adapted: dict[str, LanguageModel] = {}
"""The model that this worker writes with, by its adapter's digest."""


def _generate(
    model: LanguageModelConfig, concept: Concept, config: GenerationConfig, batch: Batch
) -> list[str]:
    from agent.language_model.model import loaded

    digest = concept.adapter.digest if concept.adapter else ""
    if digest not in _adapted:
        _adapted.clear()
        _adapted[digest] = loaded(model).adapted(concept.adapter)
    texts: list[str] = _adapted[digest].generate(*batch, config, concept.vector)
    return texts
