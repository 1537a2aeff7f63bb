"""A run's loggers: brought up to date with its whole rounds after each of them, and never a reason to stop.

TensorBoard's files are made from the rounds (`loops.monitor.events`). What trackio and wandb were told is marked in the run's
folder, so that a resumed run neither repeats nor skips a step, in whichever process.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.errors import BasinError, first_sentence
from loops.checkpoint.atomic import write_file
from loops.checkpoint.store import RunStore
from loops.config import LoggingConfig
from loops.monitor.events import FOLDER, keep_events, scalars
from loops.records import RoundRecord

logger = logging.getLogger(__name__)

PACKAGES = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb"}
SENDING = (
    "TRACKIO_SPACE_ID",
    "TRACKIO_SERVER_URL",
    "TRACKIO_DATASET_ID",
    "TRACKIO_BUCKET_ID",
    "TRACKIO_WEBHOOK_URL",
)
"""Variables that would make trackio send what it is told, whatever the configuration says."""


def require_loggers(config: LoggingConfig) -> None:
    """Refuse loggers that are not installed, before anything is read; raises `BasinError`."""
    for name in config.to:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise BasinError(
                f"logging.to names {name}, which is not installed; `pip install {PACKAGES[name]}`, or take it out."
            )


class Tracker:
    """trackio or wandb, opened when there is something to tell."""

    def __init__(self, package: str, store: RunStore) -> None:
        self.package, self.store = package, store
        self.mark = store.path / FOLDER / f"{package}.json"
        self.session: Any = None

    def keep(self, records: Sequence[RoundRecord]) -> None:
        """Tell of the rounds that were not told yet."""
        told = self._told()
        for record in records:
            if record.round > told:
                self._open().log(scalars(record), step=record.round)
                self.mark.parent.mkdir(exist_ok=True)
                write_file(self.mark, json.dumps({"round": record.round, "id": self.id}).encode())

    def close(self) -> None:
        if self.session is not None:
            self.session.finish()

    @property
    def id(self) -> str:
        """Of this run and no other of its name, the same in every process."""
        about = self.store.about
        return hashlib.sha256(f"{about['name']}/{about['created']}".encode()).hexdigest()[:12]

    def _told(self) -> int:
        """The newest round that was told of; -1 before the first."""
        try:
            found = json.loads(self.mark.read_bytes())
            return int(found["round"]) if found["id"] == self.id else -1
        except (OSError, ValueError, KeyError, TypeError):
            return -1

    def _open(self) -> Any:
        if self.session is None:
            module, settings = importlib.import_module(self.package), self.store.config.logging
            config = self.store.config.model_dump(mode="json")
            common: dict[str, Any] = {"project": settings.project, "config": config, "resume": "allow"}
            if self.package == "wandb":
                mode = "online" if settings.online else "offline"
                where = {"id": self.id, "name": self.store.name, "mode": mode, "dir": str(self.store.path)}
                self.session = module.init(**common, **where)
            else:
                name = f"{self.store.name}-{self.id[:6]}"  # trackio knows runs by their names
                where = {"space_id": settings.space} if settings.online and settings.space else {}
                with _unset(() if settings.online else SENDING):
                    self.session = module.init(**common, name=name, **where)
        return self.session


class EventFiles:
    """TensorBoard's files."""

    def __init__(self, store: RunStore) -> None:
        self.path: Path = store.path
        self.config: Mapping[str, Any] = store.config.model_dump(mode="json")

    def keep(self, records: Sequence[RoundRecord]) -> None:
        keep_events(self.path, records, self.config)

    def close(self) -> None: ...


class Logs:
    """All loggers of a run; one that fails is said once and left out from then on."""

    def __init__(self, loggers: Mapping[str, EventFiles | Tracker]) -> None:
        self.loggers = dict(loggers)

    def keep(self, records: Sequence[RoundRecord]) -> None:
        """Bring every logger up to date with all whole rounds of the run."""
        for name in list(self.loggers):
            try:
                self.loggers[name].keep(records)
            except Exception as error:  # whatever a logger's library raises
                del self.loggers[name]
                logger.info(
                    f"Nothing more is logged to {name} ({first_sentence(error)}); the run itself goes on."
                )

    def close(self) -> None:
        for name, each in self.loggers.items():
            try:
                each.close()
            except Exception as error:
                logger.info(f"{name} did not take the end of the run ({first_sentence(error)}).")


@contextmanager
def open_logs(store: RunStore) -> Iterator[Logs]:
    """The loggers that a run's configuration names, closed in the end."""
    logs = Logs({name: EventFiles(store) if name == "tensorboard" else Tracker(name, store)
                 for name in dict.fromkeys(store.config.logging.to)})  # fmt: skip
    try:
        yield logs
    finally:
        logs.close()


@contextmanager
def _unset(names: Sequence[str]) -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        with suppress(OSError):
            os.environ.update(before)
