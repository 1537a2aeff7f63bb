"""Loggers of a run, as a watcher: TensorBoard, trackio and wandb.

The newest logged round is noted per logger in the run's folder. So a resumed run neither repeats
nor skips a step. A logger that fails is reported once and left out; the run continues.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import logging
import os
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import yaml

from agent.errors import BasinError, first_sentence
from loops.checkpoint.atomic import write_file
from loops.checkpoint.store import RunStore
from loops.config import LoggingConfig
from loops.records import RoundRecord, typical_samples

logger = logging.getLogger(__name__)

FOLDER = "events"
PACKAGES = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb"}
ADDRESSES = tuple(
    f"TRACKIO_{name}" for name in ("SPACE_ID", "SERVER_URL", "DATASET_ID", "BUCKET_ID", "WEBHOOK_URL")
)
"""Environment variables that make trackio send, whatever the configuration says."""
GROUPS = {
    "writing": "agreement base_agreement degenerate_agreement coherence base_coherence repetitive broken loss",
    "concept": "size members drift contraction redundancy redundancy_share mediation nats_per_token "
    "z_score least_trust words_held",
}
"""Metrics by their group in a logger; all others belong to `training`."""
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names.split()}
NAMES = {"round", "topic"}
"""Numbers that identify something and measure nothing."""
PASSAGES = 5
QUEUE = 10_000
"""Events that tensorboardX may queue: on a full disk its thread ends, and a full queue blocks."""


def require_loggers(config: LoggingConfig) -> None:
    """Raise `BasinError` for configured loggers that are not installed."""
    for name in config.to:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise BasinError(
                f"logging.to names {name}, which is not installed; `pip install {PACKAGES[name]}`, or take it out."
            )


def scalars(record: RoundRecord) -> dict[str, float]:
    """Return a round's numbers by name, such as `concept/drift` or `cost/seconds`."""
    numbers = {
        f"{GROUP_OF.get(key, 'training')}/{key}": float(value)
        for key, value in record.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in NAMES
    }
    for stage, value in record.cost.items():
        numbers[f"cost/{stage}" if stage == "peak_gb" else f"cost/seconds_{stage}"] = float(value)
    return numbers | ({"cost/seconds": record.seconds} if record.cost else {})


class TensorBoard:
    """One event file per round, complete when the round is logged."""

    def __init__(self, store: RunStore) -> None:
        self.store = store

    def close(self) -> None:
        """Nothing stays open."""

    def log(self, record: RoundRecord) -> None:
        from tensorboardX import SummaryWriter

        run, step = self.store.path, record.round
        # Of the round, not of now: a log that is made again from the rounds shows the same times.
        when = (run / f"round_{step:03d}" / "manifest.json").stat().st_mtime
        # TensorBoard reads files by name, and drops earlier events from `purge_step` on.
        options = {"purge_step": step, "max_queue": QUEUE, "filename_suffix": f".{time.time_ns()}"}
        with SummaryWriter(str(run / FOLDER), **options) as writer:
            for name, value in scalars(record).items():
                writer.add_scalar(name, value, step, when)
            writer.add_histogram("concept/membership", record.concept.membership, step, "auto", when)
            chosen = typical_samples(record.generated) or [
                each for each in record.generated if each.kind == "base"
            ]
            texts = [f"membership {each.membership:.2f}\n\n{each.whole}" for each in chosen[:PASSAGES]]
            if texts:
                writer.add_text(f"written/{chosen[0].kind}", _block("\n\n".join(texts)), step, when)
            if step == 0:
                config = self.store.config.model_dump(mode="json")
                text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
                writer.add_text("run/config", _block(text), step, when)


class Tracker:
    """trackio or wandb, opened with the first new round."""

    def __init__(self, store: RunStore, package: str) -> None:
        self.store, self.package = store, package
        self.session: Any = None

    def log(self, record: RoundRecord) -> None:
        if self.session is None:
            self.session = self._open()
        self.session.log(scalars(record), step=record.round)

    def close(self) -> None:
        if self.session is not None:
            self.session.finish()

    def _open(self) -> Any:
        store, settings = self.store, self.store.config.logging
        module, about = importlib.import_module(self.package), store.about
        # The same in every process; a run begun anew under the same name has another.
        id_ = hashlib.sha256(f"{about['name']}/{about['created']}".encode()).hexdigest()[:12]
        config = store.config.model_dump(mode="json")
        common: dict[str, Any] = {"project": settings.project, "config": config, "resume": "allow"}
        if self.package == "wandb":
            mode = "online" if settings.online else "offline"
            return module.init(**common, id=id_, name=store.name, mode=mode, dir=str(store.path))
        space = {"space_id": settings.space} if settings.online and settings.space else {}
        with _without(() if settings.online else ADDRESSES):
            # trackio identifies runs by name.
            return module.init(**common, name=f"{store.name}-{id_[:6]}", **space)


class RunLoggers:
    """The loggers that a run's configuration names, as a watcher and a context manager."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.loggers: dict[str, TensorBoard | Tracker] = {
            name: TensorBoard(store) if name == "tensorboard" else Tracker(store, name)
            for name in store.config.logging.to
        }

    def __enter__(self) -> RunLoggers:
        self.hook, threading.excepthook = threading.excepthook, self._thread_ended
        return self

    def _thread_ended(self, failure: Any) -> None:
        """One sentence for a full disk under a library's thread, which would print its traceback."""
        if not isinstance(failure.exc_value, OSError):
            self.hook(failure)
        else:
            logger.warning(f"A logger's thread ended ({failure.exc_value}); the run continues.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, each in self.loggers.items():
            try:
                each.close()
            except Exception as failure:  # any error of the logger's library
                logger.warning(f"{name} could not be closed ({first_sentence(failure)}).")
        threading.excepthook = self.hook

    def begin(self, rounds: Sequence[RoundRecord]) -> None:
        """Log stored rounds that were not logged yet."""
        for name in list(self.loggers):
            try:
                self._catch_up(name, rounds)
            except Exception as failure:  # any error of the logger's library
                del self.loggers[name]
                logger.warning(f"Logging to {name} failed ({first_sentence(failure)}); the run continues.")

    def round_done(self, rounds: Sequence[RoundRecord]) -> None:
        """Log the newest round."""
        self.begin(rounds)

    def _catch_up(self, name: str, rounds: Sequence[RoundRecord]) -> None:
        mark = self.store.path / FOLDER / f"{name}.json"
        newest = -1
        with suppress(OSError, ValueError, KeyError, TypeError):
            newest = int(json.loads(mark.read_bytes())["round"])
        if name == "tensorboard" and rounds:  # the last again: it purges rounds that were set aside
            newest = min(newest, rounds[-1].round - 1)
        for record in rounds:
            if record.round > newest:
                self.loggers[name].log(record)
                mark.parent.mkdir(exist_ok=True)
                write_file(mark, json.dumps({"round": record.round}).encode())


def _block(text: str) -> str:
    """A text as a code block, in which neither Markdown nor HTML acts: a passage could fetch a picture."""
    lines = "\n".join(textwrap.fill(line, 100) for line in text.splitlines())
    safe = lines.encode("utf-8", errors="replace").decode()
    return textwrap.indent(safe, "    ", lambda _: True)


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Remove environment variables for the duration of the context."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
