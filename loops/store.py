"""Runs on disk: one folder a run, one folder a round, each round written whole or not at all.

`checkpoints/README.md` describes the format. `RunStore.create` begins a run, `RunStore.open` reads one; who
adds rounds holds `RunStore.exclusive`, so that two processes cannot write to one run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import BasinError
from agent.topics import Pointer
from agent.types import PassageSet
from loops import encoding, folders
from loops.config import RunConfig, changed_keys, is_aside, parse_config
from loops.folders import DamagedError
from loops.provenance import commit, versions
from loops.records import RoundRecord

SCHEMA = 4
"""Raise when the format changes so that older code would misread it."""
OLDEST = 3
"""Before 4 there was no adapter, and nothing else that a round of format 3 lacks."""
CERTIFICATE = "certificate.json"
ROUND_FOLDER = re.compile(r"round_(\d{3,})")


@dataclass(frozen=True)
class RunStore:
    """One run's folder. Holds nothing but the path and the configuration: the rest is read when asked for."""

    path: Path
    config: RunConfig

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
        store = cls(path, config)
        if path.exists() and not (path / "run.json").exists() and not _is_hardly_begun(path):
            raise BasinError(f"{path} exists and is not a run; choose another --name.")
        if store._round_folders():
            raise BasinError(
                f"There is a run {store.name} with {_count(store.rounds())} already; go on with "
                f"`basin resume {store.name}`, or choose another --name."
            )
        about = {
            "schema": SCHEMA,
            "name": store.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "commit": commit(),
            "config_file": str(config_file.resolve()) if config_file else None,
            "overrides": list(overrides),
            **({"origin": dict(origin)} if origin else {}),
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            with store.exclusive():
                folders.remove_drafts(path)
                folders.write_file(path / "config.json", _config_bytes(config))
                folders.write_file(path / "run.json", json.dumps(about, indent=1).encode())
        except OSError as error:
            raise BasinError(
                f"{path} cannot be written ({error.strerror}); make room there, or set BASIN_CHECKPOINTS."
            ) from None
        return store

    @classmethod
    def open(cls, path: Path) -> RunStore:
        """The run in a folder.

        Raises:
            BasinError: there is no such folder, it is not a run, it is damaged, or a newer Basin wrote it.
        """
        if not path.exists():
            raise BasinError(f"There is no run at {path}; `basin run CONFIG` starts one.")
        about = _read_json(path / "run.json") if (path / "run.json").is_file() else {}
        schema = about.get("schema")
        if not isinstance(schema, int):
            raise BasinError(
                f"{path} is not a run of Basin's: it has no run.json; name a folder that `basin run` made."
            )
        if schema < OLDEST:
            raise BasinError(
                f"The run {path.name} was written by an older Basin (format {schema}, this one reads {OLDEST} and later); "
                "start it anew, or read it with the commit that its run.json names."
            )
        if schema > SCHEMA:
            raise BasinError(
                f"The run {path.name} was written by a newer Basin (format {schema}, this one reads up to "
                f"{SCHEMA}); upgrade Basin."
            )
        return cls(path, parse_config(_read_json(path / "config.json"), str(path / "config.json")))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """What run.json says: when it began, code and libraries, the config file and what was set on top."""
        return _read_json(self.path / "run.json")

    def rounds(self) -> list[int]:
        """Numbers of the whole rounds, rising; quick, as only `load` reads the contents."""
        return [number for number, folder in self._round_folders() if folders.is_whole(folder)]

    def load(self, number: int) -> RoundRecord:
        """A round, checked against its hashes.

        Raises:
            BasinError: there is no such round, or it is damaged, or a newer Basin wrote it.
        """
        return encoding.decode_round(number, self._read(number))

    def load_pointer(self) -> Pointer:
        """The topic model and the chosen topic, from round 0; raises as `load`."""
        return encoding.decode_pointer(self._read(0))

    def load_passages(self) -> PassageSet:
        """The real passages, from round 0; the documents come without their texts. Raises as `load`."""
        return encoding.decode_passages(self._read(0))

    def load_newest(self, say: Callable[[str], None]) -> RoundRecord | None:
        """The newest round that is whole, to go on from; None when there is none.

        A damaged newest round is set aside under `damaged_round_003_<n>`, of which `say` is told in a
        sentence, and the one before is taken. Only for the process that holds `exclusive`.

        Raises:
            BasinError: config.json was changed since the run began.
        """
        folders.remove_drafts(self.path)
        while found := self._round_folders():
            number, folder = found[-1]
            try:
                record = encoding.decode_round(number, folders.read_folder(folder))
            except DamagedError as damage:
                aside = self._set_aside(folder)
                say(f"Round {number} of {self.name} is damaged ({damage}): set aside as {aside.name}.")
                continue
            begun_with = json.loads(self._read(0)["config.json"])
            self.check_config(parse_config(begun_with, f"{self.path}/round_000/config.json"))
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
        files = encoding.encode_round(record)
        if passages is not None and pointer is not None:
            files |= encoding.encode_pointer(pointer) | encoding.encode_passages(passages)
            files["config.json"] = _config_bytes(self.config)
        folder = self._folder(record.round)
        if folder.exists():
            raise BasinError(
                f"Round {record.round} of {self.name} exists already; is another process writing to this run?"
            )
        try:
            folders.write_folder(folder, files, {"schema": SCHEMA, "round": record.round})
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
            folders.write_file(self.path / CERTIFICATE, json.dumps(certificate, indent=1).encode())
        except OSError as error:
            raise BasinError(
                f"{self.path / CERTIFICATE} cannot be written ({error.strerror}); make room there and resume."
            ) from None

    def load_certificate(self) -> dict[str, Any] | None:
        """The certificate, or None where there is none of the newest round."""
        try:
            found = json.loads((self.path / CERTIFICATE).read_bytes())
            return found if found["round"] == self.rounds()[-1] else None
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None

    @property
    def scratch(self) -> Path:
        """Where a round's training keeps its state until the round is whole; nothing there is part of the run."""
        return self.path / ".training"

    def check_config(self, config: RunConfig) -> None:
        """Refuse another configuration than the run's; more rounds, another logger, or a page or none, are no other.

        Raises:
            BasinError: naming every setting that differs.
        """
        changed = [key for key in changed_keys(self.config, config) if not is_aside(key)]
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
        with folders.exclusive(self.path) as ours:
            if not ours:
                raise BasinError(
                    f"Another process is writing to the run {self.name}; wait for it, or take another --name."
                )
            yield

    def _read(self, number: int) -> Mapping[str, bytes]:
        folder = self._folder(number)
        if not folder.is_dir():
            raise BasinError(f"{self.name} has no round {number}; it has {_count(self.rounds())}.")
        try:
            if folders.read_manifest(folder).get("schema", 0) > SCHEMA:
                raise BasinError(f"Round {number} of {self.name} is a newer Basin's; upgrade Basin.")
            return folders.read_folder(folder)
        except DamagedError as damage:
            raise BasinError(
                f"Round {number} of {self.name} is damaged ({damage}); move {folder.name} and later rounds "
                f"away, then `basin resume {self.name}` writes them anew."
            ) from None

    def _folder(self, number: int) -> Path:
        return self.path / f"round_{number:03d}"

    def _round_folders(self) -> list[tuple[int, Path]]:
        if not self.path.is_dir():
            return []
        found = ((ROUND_FOLDER.fullmatch(folder.name), folder) for folder in self.path.iterdir())
        return sorted((int(match[1]), folder) for match, folder in found if match)

    def _set_aside(self, folder: Path) -> Path:
        attempt = 1
        while (aside := folder.with_name(f"damaged_{folder.name}_{attempt}")).exists():
            attempt += 1
        try:
            os.rename(folder, aside)
        except OSError as error:
            raise BasinError(
                f"{folder} is damaged and cannot be renamed ({error.strerror}); move it away."
            ) from None
        return aside


def _count(rounds: Sequence[int]) -> str:
    if not rounds:
        return "no whole round"
    return f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"


def _is_hardly_begun(path: Path) -> bool:
    """Whether a folder is empty, or what a process leaves that is killed before it has written run.json."""
    own = re.compile(r"config\.json|\.(config|run)\.json\.tmp-\d+")
    if not path.is_dir() or not all(own.fullmatch(each.name) for each in path.iterdir()):
        return False
    try:
        if (path / "config.json").exists():
            parse_config(_read_json(path / "config.json"), "")
    except BasinError:
        return False  # somebody else's
    return True


def _config_bytes(config: RunConfig) -> bytes:
    return (json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError):
        tree = None
    if not isinstance(tree, dict):
        raise BasinError(f"{path} is missing or damaged; put it back, or start a new run with `basin run`.")
    return tree
