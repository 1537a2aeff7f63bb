"""run.json: when a run began, with which code and configuration file, and its origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.errors import BasinError
from agent.files.checked import DamagedError, read_inside
from loops.checkpoint import atomic
from loops.checkpoint.round_folders import read_header
from loops.checkpoint.schema import OtherFormatError, sealed, unsealed

FILE = "run.json"
UNKNOWN = "unknown"
MOST = 4 << 20


class RunFile(BaseModel):
    """The facts in run.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    created: str
    versions: dict[str, str]
    commit: str | None
    config_file: str | None
    """The configuration file."""
    overrides: list[str]
    """Settings that override the file."""
    origin: dict[str, Any] | None = None
    """The run that the concept came from, where this one did not begin with its pointer."""


def write_run_file(path: Path, about: RunFile) -> None:
    """Write run.json into a run's folder; raises OSError where it cannot be."""
    tree = about.model_dump(mode="json", exclude_none=False)
    if about.origin is None:
        del tree["origin"]
    atomic.write_file(path / FILE, sealed(tree))


def read_run_file(path: Path) -> tuple[RunFile, str | None]:
    """The facts in run.json, and a warning where it is damaged and round 0 stands in for it.

    Raises:
        BasinError: the folder is no run, or of another format.
    """
    try:
        tree = unsealed(read_inside(path, FILE, MOST), FILE)
        return _checked(tree), None
    except OtherFormatError as error:
        raise BasinError(f"The run {path.name} cannot be read: {error}.") from None
    except DamagedError as damage:
        if not _has_round_0(path):
            raise BasinError(
                f"{path} is not a run of Basin's, or damaged ({damage}); name a folder that `basin run` made."
            ) from None
        unknown = RunFile(
            name=path.name, created=UNKNOWN, versions={}, commit=None, config_file=None, overrides=[]
        )
        return unknown, f"{FILE} of {path.name} is damaged ({damage}); its rounds can still be read."


def _checked(tree: dict[str, Any]) -> RunFile:
    try:
        return RunFile.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise DamagedError(f"{FILE} is wrong at {place}: {first['msg'].lower()}") from None


def _has_round_0(path: Path) -> bool:
    try:
        read_header(path, 0)
        return True
    except OtherFormatError as error:
        raise BasinError(f"The run {path.name} cannot be read: {error}.") from None
    except DamagedError:
        return False
