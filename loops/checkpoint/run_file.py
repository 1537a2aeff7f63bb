"""run.json: when a run began, with which code and configuration file, and its origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.errors import BasinError
from agent.files.checked import DamagedError
from loops.checkpoint import atomic
from loops.checkpoint.round_folders import read_header
from loops.checkpoint.schema import OtherFormatError, read_sealed, sealed

FILE = "run.json"
MOST = 4 << 20
UNKNOWN: dict[str, Any] = {
    "created": "unknown",
    "versions": {},
    "commit": None,
    "config_file": None,
    "overrides": [],
}


class RunFile(BaseModel):
    """The contents of run.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    created: str
    versions: dict[str, str]
    commit: str | None
    config_file: str | None
    overrides: list[str]
    """Settings that override the file."""
    origin: dict[str, Any] | None = None
    """The run that the concept came from, if this run did not begin with its pointer."""


def write_run_file(path: Path, about: RunFile) -> None:
    """Write run.json into a run's folder; raises OSError."""
    tree = about.model_dump(mode="json")
    if about.origin is None:
        del tree["origin"]
    atomic.write_file(path / FILE, sealed(tree))


def read_run_file(path: Path) -> tuple[RunFile, str | None]:
    """The contents of run.json, and a warning if it is damaged and round 0 stands in for it.

    Raises:
        BasinError: the folder is no run, or of another format.
    """
    try:
        try:
            return _parse(read_sealed(path, FILE, MOST)), None
        except OtherFormatError:
            raise
        except DamagedError as damage:
            if not _has_first_round(path):
                raise BasinError(
                    f"{path} is not a run of Basin's, or damaged ({damage}); name a folder that `basin run` made."
                ) from None
            warning = f"{FILE} of {path.name} is damaged ({damage}); its rounds can still be read."
            return RunFile.model_validate({"name": path.name, **UNKNOWN}), warning
    except OtherFormatError as error:
        raise BasinError(f"The run {path.name} cannot be read: {error}.") from None


def _parse(tree: dict[str, Any]) -> RunFile:
    try:
        return RunFile.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise DamagedError(f"{FILE} is wrong at {place}: {first['msg'].lower()}") from None


def _has_first_round(path: Path) -> bool:
    """Raises `OtherFormatError` if round 0 is of another format."""
    try:
        read_header(path, 0)
    except OtherFormatError:
        raise
    except DamagedError:
        return False
    return True
