"""Runs on disk: one folder per run, one folder per round, each round written atomically.

`checkpoints/README.md` describes the format. Hold `RunStore.exclusive` while adding rounds, so that
two processes cannot write to one run.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import check_number
from agent.errors import BasinError, writing
from agent.files.checked import DamagedError
from agent.pointer.topic_model import Pointer
from agent.types import PassageSet
from loops.checkpoint import atomic, decode, encode
from loops.checkpoint.round_folders import (
    count_in_words,
    folder_name,
    follows,
    move_aside,
    numbered,
    read_round,
    read_round_file,
    refuse_links,
    remove_unsafe_scratch,
)
from loops.checkpoint.run_file import COPY, About, copy_of_config, is_unbegun, read_run_file, write_run_file
from loops.checkpoint.schema import SCHEMA, OtherFormatError, read_sealed, sealed
from loops.config import RunConfig
from loops.records import RoundRecord

logger = logging.getLogger(__name__)

CERTIFICATE = "certificate.json"


@dataclass(frozen=True)
class RunStore:
    """One run's folder. Holds the path and the configuration; everything else is read on demand."""

    path: Path
    config: RunConfig
    warning: str | None = None
    """A sentence, where run.json was damaged when the run was opened."""

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        config_file: Path | None = None,
        overrides: Sequence[str] = (),
        *,
        origin: Mapping[str, object] | None = None,
    ) -> RunStore:
        """Begin a run without rounds, or begin again one that was stopped before its first round.

        Args:
            path: the run's folder; its name is the run's.
            config_file: where the configuration came from; run.json keeps it and `overrides`.
            overrides: settings that override the file.
            origin: where the concept came from, if the run did not begin with its pointer.

        Raises:
            BasinError: the run has rounds, or the folder holds other files or cannot be written.
        """
        store = cls(path, config)
        if path.exists() and not (path / "run.json").exists() and not is_unbegun(path):
            raise BasinError(f"{path} exists and is not a run; choose another --name.")
        if numbered(path):
            raise BasinError(
                f"There is a run {store.name} with {count_in_words(store.rounds())} already; go on "
                f"with `basin resume {store.name}`, or choose another --name."
            )
        about = About.now(path.name, config_file, overrides, origin)
        with writing(path, "make room there, or set BASIN_CHECKPOINTS"):
            path.mkdir(parents=True, exist_ok=True)
            with store.exclusive():
                atomic.remove_drafts(path)
                write_run_file(path, about, config)
        return store

    @classmethod
    def open(cls, path: Path) -> RunStore:
        """Open a run; round 0 stands in for a damaged run.json, see `warning`.

        Raises:
            BasinError: the folder is missing, no run, damaged, or of another format.
        """
        if not path.is_dir():
            raise BasinError(f"There is no run at {path}; `basin run CONFIG` starts one.")
        found = read_run_file(path)
        refuse_links(path)
        return cls(path, found.config, found.warning)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """The contents of run.json: start, versions, commit, config file, overrides and origin."""
        return read_run_file(self.path).about.model_dump()

    @property
    def scratch(self) -> Path:
        """The folder for unfinished work of the current round."""
        return self.path / ".training"

    def rounds(self) -> list[int]:
        """Numbers of the whole rounds, rising; checks sizes, but not contents."""
        return [number for number, folder in numbered(self.path) if atomic.is_whole(folder)]

    def damaged(self) -> list[int]:
        """Numbers of the round folders that are not whole, rising."""
        return [number for number, folder in numbered(self.path) if not atomic.is_whole(folder)]

    def load_chosen(self, number: int | None) -> RoundRecord:
        """A round, or the newest whole one for None; raises as `load`, or if there is none."""
        rounds = self.rounds()
        if number is None and not rounds:
            raise BasinError(f"{self.name} has no whole round yet; `basin resume {self.name}` continues it.")
        if number is not None:
            check_number("round", number, whole=True)
        return self.load(rounds[-1] if number is None else number)

    def load(self, number: int) -> RoundRecord:
        """A round, checked against its hashes, its neighbours and itself.

        Raises:
            BasinError: the round is missing, damaged or of another format.
        """
        with self._report_damage(number):
            files = self._read(number)
            return decode.decode_round(number, files, passages=self._count_passages(number))

    def load_pointer(self) -> Pointer:
        """The topic model and the chosen topic, from round 0; raises as `load`."""
        with self._report_damage(0):
            return decode.decode_pointer(self._read(0))

    def load_passages(self) -> PassageSet:
        """The real passages, from round 0; documents have no texts. Raises as `load`."""
        with self._report_damage(0):
            files = self._read(0)
            return decode.decode_passages(files, count=decode.count_passages(files))

    def load_newest(self) -> RoundRecord | None:
        """The newest whole round, or None; hold `exclusive`.

        Damaged newer rounds are renamed to `damaged_round_003_<n>`.

        Raises:
            BasinError: round 0 is damaged, or a round is of another format.
        """
        atomic.remove_drafts(self.path)
        remove_unsafe_scratch(self.scratch)
        while found := numbered(self.path):
            number, folder = found[-1]
            try:
                files = read_round(self.path, number)
                record = decode.decode_round(number, files, passages=self._count_passages(number))
            except OtherFormatError as error:
                raise BasinError(f"Round {number} of {self.name} cannot be read: {error}.") from None
            except DamagedError as damage:
                aside = move_aside(folder)
                logger.info(
                    f"Round {number} of {self.name} is damaged ({damage}): set aside as {aside.name}."
                )
                continue
            self._restore_run_file()
            return record
        return None

    def save(
        self, record: RoundRecord, passages: PassageSet | None = None, pointer: Pointer | None = None
    ) -> None:
        """Write a round atomically; round 0 includes the passages and the pointer.

        Raises:
            BasinError: the round exists, or cannot be written; earlier rounds stay.
            ValueError: round 0 without passages and pointer, or another round with them.
        """
        if {passages is not None, pointer is not None} != {record.round == 0}:
            raise ValueError("passages and pointer are saved with round 0, and only there")
        files = encode.encode_round(record)
        if passages is not None and pointer is not None:
            files |= encode.encode_pointer(pointer) | encode.encode_passages(passages)
            files[COPY] = copy_of_config(self.config)
        folder = self._folder(record.round)
        if os.path.lexists(folder):
            raise BasinError(
                f"Round {record.round} of {self.name} exists already; is another process writing to this run?"
            )
        header = {"schema": SCHEMA, "round": record.round, "follows": follows(self.path, record.round)}
        remedy = f"the run keeps {count_in_words(self.rounds())}: make room, then `basin resume {self.name}`"
        with writing(folder, remedy):
            atomic.write_folder(folder, files, header)
        self.remove_scratch()

    def remove_scratch(self) -> None:
        """Remove the unfinished work of a round, once the round is whole or the run has ended."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def save_certificate(self, certificate: Mapping[str, object]) -> None:
        """Replace the run's certificate; raises `BasinError` if it cannot be written."""
        with writing(self.path / CERTIFICATE, "make room there and resume"):
            atomic.write_file(self.path / CERTIFICATE, sealed(certificate))

    def load_certificate(self) -> dict[str, Any] | None:
        """The newest round's certificate, or None; logs a message if it is damaged."""
        if not os.path.lexists(self.path / CERTIFICATE):
            return None
        try:
            found = read_sealed(self.path, CERTIFICATE)
            if type(found.get("round")) is not int or not isinstance(found.get("sentence"), str):
                raise DamagedError(f"{CERTIFICATE} has no round or no sentence")
        except DamagedError as damage:
            logger.info(
                f"The certificate of {self.name} is not shown ({damage}); `basin resume {self.name}` writes it anew."
            )
            return None
        return found if found["round"] == max(self.rounds(), default=None) else None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run's lock; it ends with the process. Raises `BasinError` if another has it."""
        with atomic.exclusive(self.path) as ours:
            if not ours:
                raise BasinError(
                    f"Another process is writing to the run {self.name}; wait for it, or take another --name."
                )
            yield

    @contextmanager
    def _report_damage(self, number: int) -> Iterator[None]:
        try:
            yield
        except OtherFormatError as error:
            raise BasinError(f"Round {number} of {self.name} cannot be read: {error}.") from None
        except DamagedError as damage:
            raise BasinError(
                f"Round {number} of {self.name} is damaged ({damage}); move {folder_name(number)} and later rounds "
                f"away, then `basin resume {self.name}` writes them anew."
            ) from None

    def _read(self, number: int) -> Mapping[str, bytes]:
        if os.path.lexists(self._folder(number)):
            return read_round(self.path, number)
        raise BasinError(f"{self.name} has no round {number}; it has {count_in_words(self.rounds())}.")

    def _count_passages(self, number: int) -> int | None:
        """How many passages round 0 has; None for round 0, and where round 0 is missing."""
        if number == 0 or not os.path.lexists(self._folder(0)):
            return None
        with self._report_damage(0):
            return decode.count_passages({decode.TENSORS: read_round_file(self.path, 0, decode.TENSORS)})

    def _restore_run_file(self) -> None:
        """Write a damaged run.json again, with round 0's copy of the configuration."""
        if self.warning is None:
            return
        logger.info(self.warning)
        found = read_run_file(self.path)
        with writing(self.path, "make room there"):
            write_run_file(self.path, found.about, found.config)

    def _folder(self, number: int) -> Path:
        return self.path / folder_name(number)


NEEDED_OF_FIRST = ("no_concept", "collapsed", "base_coherence")
NEEDED = ("drift", "collapsed")


def load_history(store: RunStore) -> list[RoundRecord]:
    """All rounds up to the newest whole one, rising; a damaged newest round is set aside.

    The first and the last round are complete. Those between lack their adapters.

    Raises:
        BasinError: a round is damaged, or lacks a metric that later rounds depend on.
    """
    newest = store.load_newest()
    if newest is None or newest.round == 0:
        rounds = [] if newest is None else [newest]
    else:
        between = [store.load(number).without_adapter() for number in range(1, newest.round)]
        rounds = [store.load(0), *between, newest]
    for each in rounds:
        _check_metrics(store, each)
    return rounds


def _check_metrics(store: RunStore, record: RoundRecord) -> None:
    missing = [name for name in (NEEDED if record.round else NEEDED_OF_FIRST) if name not in record.metrics]
    if record.round and record.metrics.get("drift", 0.0) is None:
        missing.append("drift")
    if missing:
        raise BasinError(
            f"Round {record.round} of {store.name} lacks the metric {missing[0]}; move it and later rounds away, then "
            f"`basin resume {store.name}` writes them anew."
        )
