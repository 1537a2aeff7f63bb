"""Runs on disk: one folder a run, one folder a round, each round written whole or not at all.

`checkpoints/README.md` describes the format. `RunStore.create` begins a run, `RunStore.open` reads one; who
adds rounds holds `RunStore.exclusive`, so that two processes cannot write to one run.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from agent.files.checked import DamagedError
from agent.pointer.topic_model import Pointer
from agent.types import PassageSet
from loops.checkpoint import atomic, decode, encode
from loops.checkpoint.config_file import FILE as CONFIG_FILE
from loops.checkpoint.config_file import config_bytes, read_config, refuse_foreign_code
from loops.checkpoint.provenance import commit, versions
from loops.checkpoint.round_folders import (
    PRUNED,
    WHOLE,
    clear_scratch,
    folder_name,
    follows,
    numbered,
    read_header,
    read_round,
    read_round_file,
    refuse_links,
    set_aside,
)
from loops.checkpoint.run_file import RunFile, read_run_file, write_run_file
from loops.checkpoint.schema import SCHEMA, OtherFormatError, read_sealed, sealed
from loops.config import RunConfig, changed_keys, changes_no_round
from loops.records import RoundRecord

logger = logging.getLogger(__name__)

CERTIFICATE = "certificate.json"


@dataclass(frozen=True)
class RunStore:
    """One run's folder. Holds nothing but the path and the configuration: the rest is read when asked for."""

    path: Path
    config: RunConfig
    remarks: tuple[str, ...] = field(default=(), kw_only=True)
    """Sentences on what was damaged and could be made up for when the run was opened."""

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        config_file: Path | None = None,
        overrides: Sequence[str] = (),
        origin: Mapping[str, object] | None = None,
    ) -> RunStore:
        """A new run without rounds; a run that was stopped before its first whole round is begun anew.

        Args:
            path: the run's folder; its name is the run's.
            config: saved as it is.
            config_file: where the configuration came from; kept in run.json with `overrides`, so that a
                resume can tell that the file was changed since.
            overrides: what was set on top of the file.
            origin: whom the concept was received from and how, where the run did not begin with its pointer.

        Raises:
            BasinError: a run of that name has rounds, the folder holds something else or cannot be written.
        """
        about = RunFile(
            name=path.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=versions(),
            commit=commit(),
            config_file=str(config_file.resolve()) if config_file else None,
            overrides=list(overrides),
            origin=dict(origin) if origin else None,
        )
        store = cls(path, config)
        if path.exists() and not (path / "run.json").exists() and not _is_hardly_begun(path):
            raise BasinError(f"{path} exists and is not a run; choose another --name.")
        if numbered(path):
            raise BasinError(
                f"There is a run {store.name} with {_count(store.rounds())} already; go on with "
                f"`basin resume {store.name}`, or choose another --name."
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            with store.exclusive():
                atomic.remove_drafts(path)
                atomic.write_file(path / CONFIG_FILE, config_bytes(config))
                write_run_file(path, about)
        except OSError as error:
            raise BasinError(
                f"{path} cannot be written ({error.strerror}); make room there, or set BASIN_CHECKPOINTS."
            ) from None
        return store

    @classmethod
    def open(cls, path: Path) -> RunStore:
        """The run in a folder; what is damaged beside the rounds and is in them too is taken from there, see `remarks`.

        Raises:
            BasinError: there is no such folder, it is not a run, it is damaged, or a newer Basin wrote it.
        """
        if not path.is_dir():
            raise BasinError(f"There is no run at {path}; `basin run CONFIG` starts one.")
        _, unknown = read_run_file(path)
        refuse_links(path)
        config, copied = read_config(path)
        refuse_foreign_code(config, path.name)
        return cls(path, config, remarks=tuple(filter(None, (unknown, copied))))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """What run.json says: when it began, code and libraries, the config file and what was set on top, its origin."""
        return read_run_file(self.path)[0].model_dump()

    def rounds(self) -> list[int]:
        """Numbers of the whole rounds, rising; quick, as only `load` reads the contents."""
        return [number for number, folder in numbered(self.path) if atomic.is_whole(folder)]

    def pruned(self) -> list[int]:
        """Numbers of the rounds that were pruned, rising: their numbers and memberships are kept."""
        whole = set(self.rounds())
        found = [number for number, folder in numbered(self.path, PRUNED) if atomic.is_whole(folder)]
        return [number for number in found if number not in whole]

    def broken(self) -> list[int]:
        """Numbers of the folders that are no whole rounds any more, rising; quick as `rounds`."""
        found = {number for kind in (WHOLE, PRUNED) for number, _ in numbered(self.path, kind)}
        return sorted(found - set(self.every()))

    def every(self) -> list[int]:
        """Numbers of all rounds, whole or pruned, rising."""
        return sorted([*self.rounds(), *self.pruned()])

    def load_chosen(self, number: int | None) -> RoundRecord:
        """As `load`; of the newest whole round where no number is given. Raises `BasinError` where there is none, too."""
        rounds = self.rounds()
        if number is None and not rounds:
            raise BasinError(
                f"{self.name} has no whole round yet; `basin resume {self.name}` goes on with it."
            )
        return self.load(rounds[-1] if number is None else number)

    def load(self, number: int) -> RoundRecord:
        """A round, checked against its hashes, its neighbours and itself.

        Raises:
            BasinError: there is no such round, it was pruned or is damaged, or a newer Basin wrote it.
        """
        files = self._read(number)
        try:
            return decode.decode_round(number, files, passages=self._passages(number))
        except DamagedError as damage:
            raise self._damaged(number, damage) from None

    def load_kept(self, number: int) -> RoundRecord:
        """What there is of a round: all of it while it is whole, its numbers and memberships once it was pruned.

        Raises as `load`.
        """
        if os.path.lexists(self._folder(number)) or number not in self.pruned():
            return self.load(number)
        try:
            files = read_round(self.path, number, PRUNED)
            record = decode.decode_round(number, files, passages=self._passages(number))
        except DamagedError as damage:
            raise BasinError(
                f"What is kept of the pruned round {number} of {self.name} is damaged ({damage}); move "
                f"{folder_name(number, PRUNED)} away: later rounds are read without it."
            ) from None
        return replace(record, pruned=True)

    def load_pointer(self) -> Pointer:
        """The topic model and the chosen topic, from round 0; raises as `load`."""
        try:
            return decode.decode_pointer(self._read(0))
        except DamagedError as damage:
            raise self._damaged(0, damage) from None

    def load_passages(self) -> PassageSet:
        """The real passages, from round 0; the documents come without their texts. Raises as `load`."""
        files = self._read(0)
        try:
            return decode.decode_passages(files, count=decode.count_passages(files))
        except DamagedError as damage:
            raise self._damaged(0, damage) from None

    def load_newest(self) -> RoundRecord | None:
        """The newest round that is whole, to go on from; None when there is none.

        A damaged newest round is set aside under `damaged_round_003_<n>`, of which `say` is told in a
        sentence, and the one before is taken. Only for the process that holds `exclusive`.

        Raises:
            BasinError: config.json was changed since the run began, or round 0 is damaged.
        """
        atomic.remove_drafts(self.path)
        clear_scratch(self.scratch)
        while found := numbered(self.path):
            number, folder = found[-1]
            try:
                files = read_round(self.path, number)
                record = decode.decode_round(number, files, passages=self._passages(number))
            except OtherFormatError as error:
                raise BasinError(f"Round {number} of {self.name} cannot be read: {error}.") from None
            except DamagedError as damage:
                aside = set_aside(folder)
                logger.info(
                    f"Round {number} of {self.name} is damaged ({damage}): set aside as {aside.name}."
                )
                continue
            self._forget_later(number)
            self._mend()
            return record
        return None

    def save(
        self, record: RoundRecord, passages: PassageSet | None = None, pointer: Pointer | None = None
    ) -> None:
        """Write a round whole or not at all; round 0 takes the passages and the pointer with it.

        Raises:
            BasinError: the disk is full or the folder cannot be written (earlier rounds stay as they are), or
                the round is there already.
            ValueError: round 0 without passages and pointer, or another round with them.
        """
        if {passages is not None, pointer is not None} != {record.round == 0}:
            raise ValueError("passages and pointer are saved with round 0, and only there")
        files = encode.encode_round(record)
        if passages is not None and pointer is not None:
            files |= encode.encode_pointer(pointer) | encode.encode_passages(passages)
            files[CONFIG_FILE] = config_bytes(self.config)
        folder = self._folder(record.round)
        if os.path.lexists(folder):
            raise BasinError(
                f"Round {record.round} of {self.name} exists already; is another process writing to this run?"
            )
        try:
            header = {"schema": SCHEMA, "round": record.round, "follows": follows(self.path, record.round)}
            atomic.write_folder(folder, files, header)
        except OSError as error:
            raise BasinError(
                f"Round {record.round} could not be written to {self.path} ({error.strerror}), and "
                f"{_count(self.rounds())} kept; put that right, then `basin resume {self.name}`."
            ) from None
        self.forget_unfinished()

    def forget_unfinished(self) -> None:
        """Take away what was kept of a round while it was made: it is whole now, or no other is to come."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def save_certificate(self, certificate: Mapping[str, object]) -> None:
        """Replace the run's certificate; raises `BasinError` where it cannot be written."""
        try:
            atomic.write_file(self.path / CERTIFICATE, sealed(certificate))
        except OSError as error:
            raise BasinError(
                f"{self.path / CERTIFICATE} cannot be written ({error.strerror}); make room there and resume."
            ) from None

    def load_certificate(self) -> dict[str, Any] | None:
        """The certificate, or None where there is none of the newest round; `say` is told where it is damaged."""
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

    @property
    def scratch(self) -> Path:
        """Where a round's training keeps its state until the round is whole; nothing there is part of the run."""
        return self.path / ".training"

    def check_config(self, config: RunConfig) -> None:
        """Refuse another configuration than the run's; more rounds, another logger, or a page or none, are no other.

        Raises:
            BasinError: naming every setting that differs.
        """
        changed = [key for key in changed_keys(self.config, config) if not changes_no_round(key)]
        if changed:
            raise BasinError(
                f"The configuration of {self.name} was changed since the run began ({', '.join(changed)}); "
                "put it back, or start a new run with `basin run`."
            )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only process that writes to this run; the system lets go however the process ends.

        Raises:
            BasinError: another process is writing.
        """
        with atomic.exclusive(self.path) as ours:
            if not ours:
                raise BasinError(
                    f"Another process is writing to the run {self.name}; wait for it, or take another --name."
                )
            yield

    def _read(self, number: int) -> Mapping[str, bytes]:
        folder = self._folder(number)
        if not os.path.lexists(folder):
            if number in self.pruned():
                raise self._was_pruned(number)
            raise BasinError(f"{self.name} has no round {number}; it has {_count(self.rounds())}.")
        try:
            return read_round(self.path, number)
        except OtherFormatError as error:
            raise BasinError(f"Round {number} of {self.name} cannot be read: {error}.") from None
        except DamagedError as damage:
            raise self._damaged(number, damage) from None

    def _passages(self, number: int) -> int | None:
        """How many passages the run has, as round 0 has it; None for round 0 itself, and where round 0 is not there."""
        if number == 0 or not os.path.lexists(self._folder(0)):
            return None
        try:
            return decode.count_passages({decode.TENSORS: read_round_file(self.path, 0, decode.TENSORS)})
        except DamagedError as damage:
            raise self._damaged(0, damage) from None

    def _damaged(self, number: int, damage: DamagedError) -> BasinError:
        return BasinError(
            f"Round {number} of {self.name} is damaged ({damage}); move {folder_name(number)} and later rounds "
            f"away, then `basin resume {self.name}` writes them anew."
        )

    def _was_pruned(self, number: int) -> BasinError:
        try:
            at = (read_header(self.path, number, PRUNED).pruned or {}).get("at")
        except DamagedError:
            at = None
        return BasinError(
            f"Round {number} of {self.name} was pruned{f' on {at[:10]}' if isinstance(at, str) else ''}: only its numbers "
            f"and memberships are kept; choose one of {_listed(self.rounds())}."
        )

    def _forget_later(self, newest: int) -> None:
        """Pruned rounds after the newest whole one are written anew: what was kept of them goes."""
        for number, folder in numbered(self.path, PRUNED):
            if number > newest or os.path.lexists(self._folder(number)):
                if number > newest:
                    logger.info(f"Round {number} of {self.name} had been pruned: it is written anew.")
                shutil.rmtree(folder, ignore_errors=True)

    def _mend(self) -> None:
        """Write again what was damaged beside the rounds and could be taken from them."""
        if not self.remarks:
            return
        for sentence in self.remarks:
            logger.info(sentence)
        try:
            atomic.write_file(self.path / CONFIG_FILE, config_bytes(self.config))
            write_run_file(self.path, read_run_file(self.path)[0])
        except OSError as error:
            raise BasinError(f"{self.path} cannot be written ({error.strerror}); make room there.") from None

    def _folder(self, number: int) -> Path:
        return self.path / folder_name(number)


def _count(rounds: Sequence[int]) -> str:
    if not rounds:
        return "no whole round"
    if len(rounds) == rounds[-1] - rounds[0] + 1:
        return f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
    return f"rounds {_listed(rounds)}"


def _listed(rounds: Sequence[int]) -> str:
    return ", ".join(map(str, rounds))


def _is_hardly_begun(path: Path) -> bool:
    """Whether a folder is empty, or what a process leaves that is killed before it has written run.json."""
    own = re.compile(r"config\.json|\.(config|run)\.json\.tmp-\d+")
    if not path.is_dir() or not all(own.fullmatch(each.name) for each in path.iterdir()):
        return False
    try:
        if os.path.lexists(path / CONFIG_FILE):
            read_config(path)
    except BasinError:
        return False  # somebody else's
    return True
