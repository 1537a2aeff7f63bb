"""Reading a corpus once in several processes: one for each GPU of a machine, or over the machines of a Ray cluster.

Pieces are whole files of the cache, so a run finds there what it would have read itself, and a worker that dies loses a piece.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np
from jaxtyping import Float

from agent.language_model.activation_cache import CHUNK, in_order, keep_recorded, record_cached, texts_a_file
from agent.language_model.model import LanguageModel, LanguageModelConfig
from agent.progress import advance
from loops.sweeping import sweep

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What every worker is told."""

    config: LanguageModelConfig
    devices: tuple[str, ...]
    """Which devices workers share out among themselves; empty: the configured one."""
    claims: str
    """A folder in which a device is claimed; of this machine."""


@dataclass(frozen=True)
class Recorded:
    """What a worker made of a piece."""

    fingerprint: str
    size: int
    """Texts in a file of the cache."""
    activations: Float[np.ndarray, "text layer width"]


def record_spread(
    config: LanguageModelConfig,
    texts: Sequence[str],
    *,
    workers: int | None = None,
    ray_address: str | None = None,
) -> int:
    """Bring the activations of all texts into the cache; how many texts that is.

    On a CPU every worker reads with one thread, which adds numbers up in another order than several do.

    Args:
        workers: processes; by default one for each GPU, and one where there is none.
        ray_address: as in `loops.sweeping.sweep`; a task is given one GPU where the cluster has any.

    Raises:
        BasinError: as `record_cached` and `sweep`.
    """
    devices = _devices(config) if ray_address is None else ()
    workers = min(workers or len(devices) or 1, len(devices) or 1 << 10)
    ordered = in_order(texts)
    pieces = {
        f"passages {start + 1} to {min(start + CHUNK, len(ordered))}": tuple(ordered[start : start + CHUNK])
        for start in range(0, len(ordered), CHUNK)
    }
    done = 0

    def finished(name: str, made: Recorded) -> None:
        nonlocal done
        keep_recorded(pieces[name], made.activations, made.fingerprint, made.size)
        done += len(pieces[name])
        advance("record", done, len(texts), "texts")

    with TemporaryDirectory(prefix="basin-devices-") as claims:
        reading = Reading(config, devices, claims)
        sweep(_read, reading, pieces, finished, workers=workers, ray_address=ray_address, gpus_each=1)
        _model.cache_clear()
        _held.clear()
    return done


def _devices(config: LanguageModelConfig) -> tuple[str, ...]:
    import torch

    if config.device not in ("auto", "cuda") or torch.cuda.device_count() < 2:
        return ()
    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))


def _read(reading: Reading, texts: tuple[str, ...]) -> Recorded:
    model = _model(reading)
    return Recorded(model.fingerprint, texts_a_file(model), np.asarray(record_cached(model, texts)))


@cache
def _model(reading: Reading) -> LanguageModel:
    """Loaded once in a worker, on a device that no other worker of this machine has."""
    config = reading.config
    if reading.devices:
        config = config.model_copy(update={"device": claim(reading.devices, Path(reading.claims))})
    return LanguageModel.load(config)


_held: list[IO[str]] = []


def claim(devices: Sequence[str], folder: Path) -> str:
    """The first device that no living process has claimed; the last one where all are taken.

    A claim is a lock on a file, which ends with its process however that ends.
    """
    for device in devices:
        file = (folder / device.replace(":", "-")).open("w")
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.append(file)
            return device
        file.close()
    return devices[-1]
